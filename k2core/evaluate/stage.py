"""The stage: three checkpoints, the same held-out problems and text, one served after another."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from k2core.chat import ChatCodec
from k2core.evaluate.answers import answer_rows, samples_of
from k2core.evaluate.perplexity import HeldOut, cut_windows, measure_perplexity
from k2core.evaluate.scoring import score
from k2core.evaluate.show import draw_rates, failure_rows, perplexity_rows, rate_rows
from k2core.model.config import load_shape
from k2core.model.hf import write_json
from k2core.problems import fit_context, held_out_problems
from k2core.rates import pool
from k2core.rewards import judge_dialogues
from k2core.sandbox import Sandbox
from k2core.store import Draft, Workspace
from k2core.tables import read_shard, write_shard
from k2core.tokens import TokenStream
from schemas.artifacts import Checkpoint, TokenCorpus
from schemas.chat import Problem
from schemas.evaluate import CHECKPOINTS, AnswerRow, EvaluateConfig, Perplexity, Scores
from schemas.placement import Placement
from schemas.problems import ProblemsConfig

if TYPE_CHECKING:
    from k2core.engines.protocol import Engine


def evaluate_checkpoints(
    config: EvaluateConfig,
    problems: ProblemsConfig,
    base: Checkpoint,
    sft: Checkpoint,
    policy: Checkpoint,
    tokens: TokenCorpus,
    placement: Placement,
    workspace: Workspace,
) -> Draft:
    """Grade base, SFT and RL checkpoints; a killed run resumes after its last checkpoint.

    Raises:
        SandboxUnavailableError: no isolation works here; before any other work.
        ValueError: the checkpoints' shapes differ.
    """
    from k2core.engines.ray import serve

    artifacts = dict(zip(CHECKPOINTS, (base, sft, policy), strict=True))
    folders = {name: workspace.open(artifact) for name, artifact in artifacts.items()}
    context = load_shape(folders["base"]).max_position_embeddings
    codec = ChatCodec(folders["base"])
    posed = fit_context(held_out_problems(problems), codec, context)
    if left_out := posed.rows(context):
        workspace.report.table("Problems left out", left_out)
    asked = samples_of(posed.kept, config.samples_per_problem)
    texts = read_held_out(workspace.open(tokens), codec, context, config)
    with (
        Sandbox.start(unsafe=config.unsafe_sandbox) as sandbox,
        serve(
            folders["base"],
            placement.serving,
            max_model_len=context,
            max_num_seqs=config.max_num_seqs,
        ) as engine,
    ):
        examination = Examination(config, asked, texts, engine, sandbox, context, workspace)
        for place, name in enumerate(CHECKPOINTS):
            examination.examine(name, folders[name], place)
    answers = examination.collect()
    scores = score(answers, artifacts, examination.perplexities())
    write_json(workspace.out / "scores.json", scores.model_dump(mode="json"))
    _report(scores, workspace)
    faulty = sum(int(rows["faulty"].sum()) for rows in answers.values())
    return Draft(workspace.out, {**_count(scores), "faulty": float(faulty)})


class Examination:
    """What each checkpoint goes through; a finished one's answers outlive the machine."""

    def __init__(
        self,
        config: EvaluateConfig,
        asked: Sequence[Problem],
        texts: Mapping[str, HeldOut],
        engine: "Engine",
        sandbox: Sandbox,
        context: int,
        workspace: Workspace,
    ) -> None:
        self._config, self._asked, self._texts = config, asked, texts
        self._engine, self._sandbox = engine, sandbox
        self._context, self._workspace = context, workspace

    def examine(self, name: str, folder: Path, place: int) -> None:
        """Text first, then problems; `answers` is written last, so it says that both are done."""
        states = self._workspace.states
        if f"{name}.parquet" in states.names():
            return
        self._engine.load(folder)
        self._progress(place, 0.0, f"{name}: held-out text")
        found = {domain: measure_perplexity(self._engine, t) for domain, t in self._texts.items()}
        with states.writing(f"{name}.json") as path:
            write_json(path, {d: p.model_dump() for d, p in found.items()})
        with states.writing(f"{name}.parquet") as path:
            write_shard(path, AnswerRow, self._answer(name, folder, place))

    def collect(self) -> dict[str, pl.DataFrame]:
        """All answers by checkpoint, copied to where they are published."""
        answers = {}
        for name in CHECKPOINTS:
            answers[name] = read_shard(self._workspace.states.fetch(f"{name}.parquet"), AnswerRow)
            write_shard(
                self._workspace.out / "answers" / f"{name}.parquet",
                AnswerRow,
                answers[name].to_dicts(),
            )
        return answers

    def perplexities(self) -> dict[str, dict[str, Perplexity]]:
        """Domain -> checkpoint -> perplexity."""
        by_domain: dict[str, dict[str, Perplexity]] = defaultdict(dict)
        for name in CHECKPOINTS:
            found = _read_perplexities(self._workspace.states.fetch(f"{name}.json"))
            for domain, perplexity in found.items():
                by_domain[domain][name] = perplexity
        return dict(by_domain)

    def _answer(self, name: str, folder: Path, place: int) -> list[dict[str, object]]:
        from k2core.agents import Opening, check_faults, rollout

        with Opening(self._sandbox) as opening:
            dialogues = rollout(
                self._asked,
                self._engine,
                ChatCodec(folder),
                seeds=[self._config.seed + index for index in range(len(self._asked))],
                temperature=self._config.temperature,
                max_context=self._context,
                open_session=opening.open,
                on_turn=lambda done, total: self._progress(
                    place, done / total, f"{name}: {done} of {total} dialogues"
                ),
            )
        verdicts = judge_dialogues(dialogues, self._sandbox)
        faults = [verdict.reason for verdict in verdicts if verdict.is_faulty]
        check_faults(
            faults, len(verdicts), self._config.max_faulty_frac, "evaluate.max_faulty_frac"
        )
        return answer_rows(name, dialogues, verdicts)

    def _progress(self, place: int, share: float, note: str) -> None:
        self._workspace.report.progress(place + share, len(CHECKPOINTS), note)


def read_held_out(
    folder: Path, codec: ChatCodec, context: int, config: EvaluateConfig
) -> dict[str, HeldOut]:
    """Each domain's held-out text, cut into windows."""
    stream = TokenStream(folder, seed=0, sequence_length=16)
    return {
        # An engine that scores a window samples one token more.
        domain: cut_windows(
            stream.held_out(domain), context - 1, config.heldout_tokens, codec.decode
        )
        for domain, about in sorted(stream.manifest.domains.items())
        if about.heldout_tokens > 1
    }


def _read_perplexities(path: Path) -> dict[str, Perplexity]:
    return {d: Perplexity.model_validate(p) for d, p in json.loads(path.read_text()).items()}


def _report(scores: Scores, workspace: Workspace) -> None:
    report = workspace.report
    report.plot("Pass rates by group", draw_rates("held-out problems", scores.groups))
    report.plot("Pass rates by family", draw_rates("held-out problems", scores.families))
    report.table("Pass rates", rate_rows(scores))
    report.table("Why answers failed", failure_rows(scores))
    report.table("Perplexity", perplexity_rows(scores.perplexity))
    for step, name in enumerate(CHECKPOINTS):
        values = {f"pass_rate/{f}": rates[name].rate for f, rates in scores.families.items()}
        values |= {f"perplexity/{d}": by[name].perplexity for d, by in scores.perplexity.items()}
        report.metrics(step, values)


def _count(scores: Scores) -> dict[str, float]:
    overall = {name: pool(r[name] for r in scores.families.values()) for name in CHECKPOINTS}
    return {
        "answers": sum(rate.total for rate in overall.values()),
        **{f"pass_rate_{name}": round(rate.rate, 4) for name, rate in overall.items()},
        "families_gained_by_rl": sum(scores.mark(f) == "+" for f in scores.families),
        "families_lost_by_rl": sum(scores.mark(f) == "-" for f in scores.families),
    }
