"""What there is to know of a source of problems, found out as training would."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import typer

from k2core.chat import ChatCodec, render
from k2core.model.config import load_shape
from k2core.problems import ProblemSourceError
from k2core.problems.bank import SourceFamily, check_faults, look_through, split_rows
from k2core.problems.fitting import fit_context
from k2core.problems.rows import OWN_CODE
from k2core.rewards import Outcome, verify
from k2core.rewards.gold import answered, gold_answer, gold_outcome, wrong_answer
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
    short: list[str]
    """Those whose right answer takes more tokens than their budget."""


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
    stops: str
    """Why a run with it would stop before it trains; empty where it would not."""
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
        short = self.lengths is not None and bool(self.lengths.short)
        return not (
            self.stops or self.judged is None or self.judged.doubts or left_out or too_long or short
        )

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
            "stops": self.stops,
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
        if self.stops:
            typer.echo(f"a run would stop: {self.stops}")
        else:
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
        _print_list("max_tokens is less than the right answer takes", found.short, _FAULTS_SHOWN)


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
    rows = family.rows
    lengths, judged = None, None
    if problems:
        lengths = _count_tokens(sorted(problems, key=lambda p: rows[p.problem_id]), model, rows)
        with Sandbox.start() as sandbox:
            chosen = problems if every else problems[:_JUDGED]
            judged = judge_sample(chosen, sandbox, rows)
    return CheckedSource(
        source,
        family.num_rows,
        {split: len(found) for split, found in family.splits.items()},
        _why_it_stops(family, source),
        [str(fault) for fault in family.faults],
        problems,
        lengths,
        judged,
    )


def _why_it_stops(family: SourceFamily, source: Source) -> str:
    if not family.num_rows:
        return "there are no rows: a row is a line of JSON, or of a table after its names"
    if not family.num_problems:
        return "no row makes a problem"
    if not isinstance(source, FileSource):
        return ""
    try:
        check_faults(family, source)
    except ProblemSourceError:
        share = f"{len(family.faults)} of {family.num_rows} rows are left out"
        return f"{share}, more than max_faulty_frac={source.max_faulty_frac:g} allows"
    return ""


def judge_sample(
    problems: Sequence[Problem], sandbox: Sandbox, rows: Mapping[str, int]
) -> CheckedVerifier:
    """Run the verifiers on right and wrong answers.

    Args:
        problems: that are judged.
        sandbox: where.
        rows: a problem's id -> its row.
    """
    doubts, num_right, num_wrong = list[str](), 0, 0
    for problem in problems:
        place, num_doubts = _place(problem, rows), len(doubts)
        right, wrong = gold_outcome(problem), answered(problem, wrong_answer(problem))
        for answer in (right, wrong):
            if answer is None:
                continue
            try:
                verdict = verify(problem, answer, sandbox)
            except (ValueError, RuntimeError) as error:
                doubts.append(f"{place}: {str(error).removeprefix(f'{problem.problem_id}: ')}")
                break  # the other answer would fare no better
            passed = verdict.reward >= 1.0
            num_right += answer is right and passed
            num_wrong += answer is wrong and not passed and not verdict.is_faulty
            if verdict.is_faulty or passed is (answer is wrong):
                said = verdict.reason or "it is right"
                doubts.append(f"{place}: of {_told(answer)[:60]!r} it says: {said}")
        if len(doubts) == num_doubts and (doubt := find_doubt(problem, sandbox)):
            doubts.append(f"{place}: {doubt}")
    return CheckedVerifier(len(problems), num_right, num_wrong, doubts)


def _place(problem: Problem, rows: Mapping[str, int]) -> str:
    return f"row {rows[problem.problem_id]}, {problem.problem_id}"


def _told(answer: Outcome) -> str:
    last = answer.messages[-1]
    return last.content or " ".join(call.arguments for call in last.tool_calls)


def _count_tokens(
    problems: Sequence[Problem], model: str, rows: Mapping[str, int]
) -> Lengths | None:
    found = _open_codec(model)
    if found is None:
        return None
    codec, context = found
    sizes = sorted(len(codec.encode_prompt(p.messages, p.tools)) for p in problems)
    if sizes[0] >= context:
        too_long = list(problems)
    else:
        too_long = list(fit_context(problems, codec, context).too_long)
    short = list[str]()
    for problem in problems:
        size = len(codec.encode(gold_answer(problem) or ""))
        # What a function of one's own calls an answer need not be one.
        if size > problem.max_tokens and problem.verifier != OWN_CODE:
            short.append(f"{_place(problem, rows)}: {size} of {problem.max_tokens}")
    names = [_place(problem, rows) for problem in too_long]
    return Lengths(sizes[0], sizes[len(sizes) // 2], sizes[-1], context, names, short)


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
