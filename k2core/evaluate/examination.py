"""What each checkpoint goes through: text, then problems; what is finished outlives a kill."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from k2core.chat import ChatCodec
from k2core.evaluate.answers import answer_rows
from k2core.evaluate.choices import Choice, measure_choices
from k2core.evaluate.perplexity import HeldOutText, measure_perplexity
from k2core.model.hf import write_json
from k2core.passes import Passes
from k2core.problems import variant_of
from k2core.rewards import judge_dialogues
from k2core.sandbox import Sandbox
from k2core.store import Workspace
from k2core.tables import read_shard, write_shard
from schemas.base import Config
from schemas.chat import Problem
from schemas.evaluate import CHECKPOINTS, AnswerRow, EvaluateConfig, Perplexity, Rate
from schemas.problems import Variant

if TYPE_CHECKING:
    from k2core.agents import Dialogue, Opening
    from k2core.engines.protocol import TalkingEngine

M = TypeVar("M", bound=Config)
_ENFORCED: tuple[Variant, ...] = ("enforced", "unseen_enforced")
"""Problems of these conditions are played with the enforcer."""


class Examination:
    """What each checkpoint goes through; a finished one's answers outlive the machine."""

    def __init__(
        self,
        config: EvaluateConfig,
        asked: Sequence[Problem],
        texts: Mapping[str, HeldOutText],
        choices: Sequence[Choice],
        engine: "TalkingEngine",
        sandbox: Sandbox,
        context: int,
        workspace: Workspace,
    ) -> None:
        self._config, self._asked, self._texts, self._choices = config, asked, texts, choices
        self._engine, self._sandbox = engine, sandbox
        self._context, self._workspace = context, workspace
        self._passes = Passes(
            workspace.report, {**dict.fromkeys(CHECKPOINTS, 1.0), "closing": 0.15}
        )

    def examine(self, name: str, model: Callable[[], Path]) -> None:
        """Text first, then problems; `answers` is written last, so it says that both are done.

        Args:
            name: the checkpoint's.
            model: brings it to whoever asks.
        """
        states = self._workspace.states
        if f"{name}.parquet" in states.names():
            return
        self._engine.load(model)
        self._passes.tell(name, 0, 1, f"{name}: held-out text")
        found = {domain: measure_perplexity(self._engine, t) for domain, t in self._texts.items()}
        chosen = measure_choices(self._engine, self._choices)
        with states.writing(f"{name}.json") as path:
            write_json(
                path,
                {
                    "perplexity": {domain: p.model_dump() for domain, p in found.items()},
                    "choices": {task: rate.model_dump() for task, rate in chosen.items()},
                },
            )
        with states.writing(f"{name}.parquet") as path:
            write_shard(path, AnswerRow, self._answer(name, model()))

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
        return self._read("perplexity", Perplexity)

    def choices(self) -> dict[str, dict[str, Rate]]:
        """Log-likelihood task -> checkpoint -> rate."""
        return self._read("choices", Rate)

    def _read(self, part: str, kind: type[M]) -> dict[str, dict[str, M]]:
        found: dict[str, dict[str, M]] = defaultdict(dict)
        for name in CHECKPOINTS:
            said = json.loads(self._workspace.states.fetch(f"{name}.json").read_bytes())
            for key, value in said[part].items():
                found[key][name] = kind.model_validate(value)
        return dict(found)

    def _answer(self, name: str, folder: Path) -> list[dict[str, object]]:
        from k2core.agents import Opening, check_faults

        dialogues: list[Dialogue] = []
        with Opening(self._sandbox) as opening:
            for enforced in (False, True):
                asked = [
                    (seed, problem)
                    for seed, problem in enumerate(self._asked, self._config.seed)
                    if (variant_of(problem.problem_id) in _ENFORCED) == enforced
                ]
                dialogues += self._play(
                    name, folder, asked, opening, enforced=enforced, before=len(dialogues)
                )
        verdicts = judge_dialogues(dialogues, self._sandbox)
        faults = [verdict.reason for verdict in verdicts if verdict.is_faulty]
        check_faults(
            faults, len(verdicts), self._config.max_faulty_frac, "evaluate.max_faulty_frac"
        )
        return answer_rows(name, dialogues, verdicts)

    def _play(
        self,
        name: str,
        folder: Path,
        asked: Sequence[tuple[int, Problem]],
        opening: "Opening",
        *,
        enforced: bool,
        before: int,
    ) -> "list[Dialogue]":
        from k2core.agents import rollout

        kind, all_asked = "enforced" if enforced else "free", len(self._asked)
        return rollout(
            [problem for _, problem in asked],
            self._engine,
            ChatCodec(folder),
            seeds=[seed for seed, _ in asked],
            temperature=self._config.temperature,
            max_context=self._context,
            enforced=enforced,
            open_session=opening.open,
            on_turn=lambda done, total: self._passes.tell(
                name, before + done, all_asked, f"{name}: {done} of {total} {kind} dialogues"
            ),
        )
