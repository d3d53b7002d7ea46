"""What the page of a run shows, as far as the run has come."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from infra.curves import read_curves
from infra.home import home, tracking_uri
from infra.index import Indexed, RunIndex
from infra.runs import SeenRun
from k2core.evaluate.compare import Flip, compare, read_answers
from k2core.store import ArtifactMissingError
from schemas.base import Artifact
from schemas.evaluate import Scores
from schemas.lineage import LineageRecord
from tasks.store import published_folder
from workflows.errors import BadRecipeError
from workflows.find import find_pipeline, recipe_of, stages_of
from workflows.pages.charts import Chart, Edge, thin
from workflows.report import read_scores

_MOST_LAYERS = 4
_LOGITS = tuple(f"max_logit/layer_{number}" for number in range(_MOST_LAYERS))
CURVES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "pretrain": {
        "Pre-training: loss": ("loss",),
        "Pre-training: largest attention logit": _LOGITS,
        "Pre-training: gradient norm": ("grad_norm",),
    },
    "sft": {"SFT: loss": ("loss",), "SFT: largest attention logit": _LOGITS},
    "rl": {
        "RL: training reward and held-out pass rate": ("reward", "validation"),
        "RL: tokens an answer": ("length",),
        "RL: share that teaches": ("learnable_frac",),
    },
}
"""Stage -> title -> metrics in one picture."""


class StageOnPage(NamedTuple):
    """A stage that was done."""

    record: LineageRecord
    seconds: float
    """Its maker's where the run answered from the cache."""
    cached: bool
    report: Path | None
    """The stage's own page."""

    @property
    def name(self) -> str:
        """The stage's."""
        return self.record.stage


class RunOnPage(NamedTuple):
    """A run, finished or not."""

    name: str
    status: str
    recipe: str
    date: str
    machine: str
    code: str
    tracking: str
    stages: list[StageOnPage]
    missing: list[str]
    """Stages of the recipe that are not done."""
    charts: list[Chart]
    scores: Scores | None
    flips: list[Flip]
    """What RL won and lost against SFT."""

    def made(self, kind: str) -> Artifact | None:
        """The last artifact of a kind."""
        found = [
            a for stage in self.stages for a in stage.record.outputs.values() if a.kind == kind
        ]
        return found[-1] if found else None

    @property
    def edges(self) -> list[Edge]:
        """What flows between its stages."""
        maker = {
            a.digest: (stage.name, a)
            for stage in self.stages
            for a in stage.record.outputs.values()
        }
        return [
            Edge(source, stage.name, f"{a.kind} {short(a.digest)}, {a.describe_counts()}")
            for stage in self.stages
            for taken in stage.record.inputs.values()
            if taken.digest in maker
            for source, a in [maker[taken.digest]]
        ]


def short(digest: str) -> str:
    """A digest as people say it."""
    return digest.removeprefix("sha256:")[:12]


def read_run(name: str) -> RunOnPage:
    """A run of `k2 runs`, or the newest for `latest`.

    Raises:
        NotRecordedError: there is no such run.
    """
    pipeline = find_pipeline(name)
    done = stages_of(pipeline)
    makers = {stage: _maker(made) for stage, made in done.items()}
    outputs = {a.kind: a for made in done.values() for a in made.record.outputs.values()}
    return RunOnPage(
        name=pipeline.name,
        status=pipeline.status.lower(),
        recipe=pipeline.name.partition("-")[0],
        date=datetime.fromtimestamp(pipeline.started / 1000, UTC).strftime("%d %B %Y, %H:%M UTC"),
        machine=pipeline.tags.get("machine", "unknown"),
        code=pipeline.tags.get("code", "unknown"),
        tracking=tracking_uri(),
        stages=[_on_page(stage, made, makers[stage]) for stage, made in done.items()],
        missing=_missing(pipeline, done),
        charts=[chart for stage, made in makers.items() for chart in _charts(stage, made)],
        scores=_scores(outputs),
        flips=_flips(outputs),
    )


def _missing(pipeline: SeenRun, done: Mapping[str, Indexed]) -> list[str]:
    """Nothing is known of a recipe with fields that are gone by now."""
    with suppress(BadRecipeError):
        return [stage for stage in recipe_of(pipeline).stages if stage not in done]
    return []


def _maker(done: Indexed) -> Indexed:
    made_by = done.run.tags.get("made_by")
    if made_by is None:
        return done
    with RunIndex() as index:
        found = index.runs("id = ?", [made_by])
    return Indexed(found[0], done.record) if found else done


def _on_page(stage: str, done: Indexed, maker: Indexed) -> StageOnPage:
    report = home() / "reports" / maker.run.tags.get("flyte_run", "alone") / f"{stage}.html"
    return StageOnPage(
        record=done.record,
        seconds=((maker.run.ended or maker.run.started) - maker.run.started) / 1000,
        cached=maker.run.run_id != done.run.run_id,
        report=report if report.exists() else None,
    )


def _charts(stage: str, maker: Indexed) -> list[Chart]:
    wanted = CURVES.get(stage, {})
    names = [name for group in wanted.values() for name in group]
    found = read_curves(maker.run.run_id, names) if names else {}
    unit = "iteration" if stage == "rl" else "step"
    return [
        Chart(title, {_said(name): thin(found[name]) for name in group if name in found}, unit)
        for title, group in wanted.items()
    ]


def _said(metric: str) -> str:
    return metric.rpartition("/")[2].replace("_", " ")


def _scores(outputs: Mapping[str, Artifact]) -> Scores | None:
    """None where nothing was evaluated yet, or the scores are kept elsewhere."""
    try:
        return read_scores(outputs) if "evaluation" in outputs else None
    except ArtifactMissingError:
        return None


def _flips(outputs: Mapping[str, Artifact]) -> list[Flip]:
    if "evaluation" not in outputs:
        return []
    try:
        folder = published_folder(outputs["evaluation"]) / "answers"
    except ArtifactMissingError:
        return []
    sides = [read_answers(folder / f"{name}.parquet", name) for name in ("sft", "policy")]
    return compare(*sides).flips
