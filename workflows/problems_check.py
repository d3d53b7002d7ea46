"""What there is to know of a source of problems, found out as training would."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import typer

from k2core.chat import ChatCodec, render
from k2core.model.config import load_shape
from k2core.problems import ProblemSourceError
from k2core.problems.bank import look_through, split_rows
from k2core.problems.fitting import fit_context
from k2core.rewards import verify
from k2core.rewards.gold import answered, gold_outcome, wrong_answer
from k2core.rewards.telling import find_doubt
from k2core.sandbox import Sandbox
from schemas.chat import Problem
from schemas.problems import FileSource, ProblemsConfig, Source, Sources
from tasks.store import published_folder
from workflows.errors import NoProblemsError, NotRecordedError
from workflows.find import LATEST, SERVABLE, find_artifact
from workflows.problems import kind_of

_FAULTS_SHOWN = 10
_JUDGED = 50


class Lengths(NamedTuple):
    """Of the prompts, in tokens."""

    shortest: int
    median: int
    longest: int
    context: int
    too_long: list[str]
    """Problems that leave no room for an answer."""


class CheckedVerifier(NamedTuple):
    """What the verifiers say of right and wrong answers."""

    problems: int
    right_passed: int
    wrong_refused: int
    doubts: list[str]
    """What comes out wrong."""


class CheckedSource(NamedTuple):
    """What would be read, and what should be mended."""

    source: Source
    num_rows: int
    splits: dict[str, int]
    faults: list[str]
    problems: list[Problem]
    lengths: Lengths | None
    """None where no model is recorded yet."""
    judged: CheckedVerifier | None
    """None where there are no problems."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing should be mended."""
        left_out = isinstance(self.source, FileSource) and bool(self.faults)
        too_long = self.lengths is not None and bool(self.lengths.too_long)
        return self.judged is not None and not (self.judged.doubts or left_out or too_long)

    def figures(self, show: int, setting: str) -> dict[str, object]:
        """All of it, for programs.

        Args:
            show: problems to be in it.
            setting: that trains on the source.
        """
        return {
            "source": self.source.name,
            "rows": self.num_rows,
            "problems": self.splits,
            "left_out": self.faults,
            "tokens": self.lengths and self.lengths._asdict(),
            "verifier": self.judged and self.judged._asdict(),
            "shown": self.problems[:show],
            "setting": setting,
            "sound": self.is_sound,
        }

    def print(self, show: int, setting: str, *, every: bool) -> None:
        """The same for people; every fault, or the first ones."""
        most = None if every else _FAULTS_SHOWN
        counts = ", ".join(f"{count} {split}" for split, count in self.splits.items())
        total = len(self.problems)
        typer.echo(f"{self.source.name}: {self.num_rows} rows, {total} problems ({counts})")
        _print_list("left out", self.faults, most)
        if self.judged is not None:
            self._print_lengths()
            for problem in self.problems[:show]:
                _print_problem(problem)
            typer.echo(
                f"verifier {self.problems[0].verifier}: of {self.judged.problems} problems it "
                f"passes {self.judged.right_passed} right answers and refuses "
                f"{self.judged.wrong_refused} wrong ones"
            )
            _print_list("the verifier", self.judged.doubts, None)
        typer.echo(f"to train on it: --set '{setting}'")

    def _print_lengths(self) -> None:
        found = self.lengths
        if found is None:
            typer.echo("tokens: no model is recorded yet, so nothing is counted (--model)")
            return
        typer.echo(
            f"tokens of a prompt: {found.shortest} to {found.longest}, median {found.median}; "
            f"context {found.context}"
        )
        if found.shortest >= found.context:
            typer.echo("no prompt leaves room for an answer")
        else:
            _print_list("too long", found.too_long, _FAULTS_SHOWN)


def check_source(source: Source, model: str, *, every: bool = False) -> CheckedSource:
    """Find out all that there is to know of a source.

    Args:
        source: of problems.
        model: whose tokenizer counts.
        every: judge every problem, not the first ones.

    Raises:
        NoProblemsError: it cannot be read.
    """
    sources = Sources.model_validate({kind_of(source): (source,)})
    config = ProblemsConfig(families={}, sources=sources)
    try:
        family = split_rows(config, source.name, look_through(config, source))
    except ProblemSourceError as error:
        raise NoProblemsError(str(error)) from None
    problems = [problem for found in family.splits.values() for problem in found]
    lengths, judged = None, None
    if problems:
        lengths = _count_tokens(problems, model)
        with Sandbox.start() as sandbox:
            judged = judge_sample(problems if every else problems[:_JUDGED], sandbox)
    return CheckedSource(
        source,
        family.num_rows,
        {split: len(found) for split, found in family.splits.items()},
        [str(fault) for fault in family.faults],
        problems,
        lengths,
        judged,
    )


def judge_sample(problems: Sequence[Problem], sandbox: Sandbox) -> CheckedVerifier:
    """Run the verifiers on right and wrong answers."""
    doubts, num_right, num_wrong = list[str](), 0, 0
    for problem in problems:
        right, wrong = gold_outcome(problem), answered(problem, wrong_answer(problem))
        for answer in (right, wrong):
            if answer is None:
                continue
            try:
                verdict = verify(problem, answer, sandbox)
            except (ValueError, RuntimeError) as error:
                doubts.append(f"{problem.problem_id}: {error}")
                continue
            passed = verdict.reward >= 1.0
            num_right += answer is right and passed
            num_wrong += answer is wrong and not passed and not verdict.is_faulty
            if verdict.is_faulty or passed is (answer is wrong):
                said = verdict.reason or "it is right"
                told = answer.messages[-1]
                text = told.content or " ".join(c.arguments for c in told.tool_calls)
                doubts.append(f"{problem.problem_id}: of {text[:60]!r} it says: {said}")
            elif answer is right and (said := find_doubt(problem, sandbox)):
                doubts.append(f"{problem.problem_id}: {said}")
    return CheckedVerifier(len(problems), num_right, num_wrong, doubts)


def _count_tokens(problems: Sequence[Problem], model: str) -> Lengths | None:
    found = _open_codec(model)
    if found is None:
        return None
    codec, context = found
    sizes = sorted(len(codec.encode_prompt(p.messages, p.tools)) for p in problems)
    if sizes[0] >= context:
        too_long = list(problems)
    else:
        too_long = list(fit_context(problems, codec, context).too_long)
    names = [problem.problem_id for problem in too_long]
    return Lengths(sizes[0], sizes[len(sizes) // 2], sizes[-1], context, names)


def _open_codec(model: str) -> tuple[ChatCodec, int] | None:
    try:
        artifact = find_artifact(model, SERVABLE)
    except NotRecordedError:
        if model != LATEST:
            raise
        return None
    folder = published_folder(artifact) / ("policy" if artifact.kind == "release" else "")
    return ChatCodec(folder), load_shape(folder).max_position_embeddings


def _print_problem(problem: Problem) -> None:
    text = render(problem.messages, problem.tools, add_generation_prompt=True)
    expected = {k: v for k, v in problem.expected.items() if k != "code"}
    typer.echo(f"\n{problem.problem_id}\n{text}")
    typer.echo(f"expected: {json.dumps(expected, ensure_ascii=False)[:200]}\n")


def _print_list(title: str, lines: Sequence[str], most: int | None) -> None:
    if not lines:
        return
    typer.echo(f"{title}: {len(lines)}")
    for line in lines[:most]:
        typer.echo(f"  {line}")
    if most is not None and len(lines) > most:
        typer.echo(f"  and {len(lines) - most} more (--all)")
