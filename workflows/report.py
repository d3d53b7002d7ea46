"""A recorded run as a file: what its tables in README.md and docs/results.md are written from."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.home import ROOT
from infra.index import Indexed, RunIndex
from schemas.artifacts import Evaluation
from schemas.base import Artifact
from schemas.evaluate import Scores
from tasks.store import open_store
from workflows.errors import NotRecordedError
from workflows.find import find_pipeline, recipe_of, stages_of
from workflows.report_tables import render_pages

RECORD = Path("docs/results/run.json")
PAGES = (Path("README.md"), Path("docs/results.md"))


class Reported(BaseModel):
    """What is only read; a strange field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StageReport(Reported):
    """A stage, or its maker where the run answered from the cache."""

    stage: str
    version: str
    seconds: float
    outputs: dict[str, Artifact]


class RunReport(Reported):
    """Everything that the tables say."""

    run: str
    recipe: str
    date: str
    machine: str
    code: str
    stages: list[StageReport]
    scores: Scores

    @property
    def release(self) -> str:
        """Digest of what was released."""
        return self.stages[-1].outputs["release"].digest


def read_report(name: str) -> RunReport:
    """A finished run, or the newest for `latest`.

    Raises:
        NotRecordedError: there is no such run, or it has not come to its end.
    """
    pipeline = find_pipeline(name)
    done, wanted = stages_of(pipeline), recipe_of(pipeline).stages
    if missing := [stage for stage in wanted if stage not in done]:
        raise NotRecordedError(
            f"run {pipeline.name} has not finished {', '.join(missing)}: only a whole "
            "run is reported; `k2 runs` lists them"
        )
    stages = [_read_stage(done[stage]) for stage in wanted]
    return RunReport(
        run=pipeline.name,
        recipe=pipeline.name.partition("-")[0],
        date=datetime.fromtimestamp(pipeline.started / 1000, UTC).date().isoformat(),
        machine=pipeline.tags.get("machine", "unknown"),
        code=pipeline.tags["code"],
        stages=stages,
        scores=read_scores({a.kind: a for stage in stages for a in stage.outputs.values()}),
    )


def write_report(report: RunReport, root: Path = ROOT) -> list[Path]:
    """Keep the run in `docs/results/run.json` and write its tables into the pages."""
    path = root / RECORD
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report.model_dump_json(indent=1) + "\n")
    render_pages(report, [root / page for page in PAGES])
    return [path, *(root / page for page in PAGES)]


def _read_stage(done: Indexed) -> StageReport:
    """The time is its maker's where the run answered from the cache."""
    with RunIndex() as index:
        maker = index.runs("id = ?", [done.run.tags.get("made_by", done.run.run_id)])
    run = maker[0] if maker else done.run
    return StageReport(
        stage=done.record.stage,
        version=done.record.version,
        seconds=round(((run.ended or run.started) - run.started) / 1000, 1),
        outputs=done.record.outputs,
    )


def read_scores(made: Mapping[str, Artifact]) -> Scores:
    """The scores among what was made, by kind."""
    evaluation = Evaluation.model_validate(made["evaluation"].model_dump())
    return Scores.model_validate_json((open_store().open(evaluation) / "scores.json").read_bytes())
