"""Time of every scorer and parser of what others wrote, on its worst text: linear or bounded.

Each is fed 10,000, 100,000 and 1,000,000 characters of every piece that is bad for its kind; growth
is the exponent of the time from the first to the last. One row a scorer: its worst piece. CPU time
counts, but of mathematics, which a sandbox bounds, the wall's.
"""

import gc
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from k2core.agents.bodies import BrokenBodyError, read_turn
from k2core.agents.user import asked_details
from k2core.chat import SPECIAL_TOKENS, TokenSpan, ToolCallSyntaxError, parse_spans
from k2core.chat import tokens as t
from k2core.chat.exchange import validate_line
from k2core.chat.schemas import read_schema
from k2core.clean.privacy import redact
from k2core.environments import stated_error
from k2core.problems.marked import final_answer
from k2core.rewards import VERIFIERS, Outcome, extract_code, verify
from k2core.rewards.numbers import final_number
from k2core.sandbox import Sandbox
from schemas.chat import Goal, Message, Problem
from schemas.outside import NotJsonError, read_json

SIZES = (10_000, 100_000, 1_000_000)
LIMIT = 1.2
"""Largest exponent that counts as linear: caches and allocation take their share."""
_TOO_LONG_S = 12.0
_LONG_S = 0.5
_FLOOR_S = 2e-4
"""Below this nothing is measured but the clock."""

_WORST = (
    "\n",
    " ",
    ".",
    "a",
    "*a",
    "a-",
    "<<a",
    "[a",
    "{",
    '"a',
    "1,",
    "1 000 ",
    "```a",
    "P.S. \n",
)
_FORMS: Mapping[str, dict[str, JsonValue]] = {
    "bullets": {"count": 1},
    "capital_words": {"count": 1},
    "forbidden_words": {"words": ["b"]},
    "highlights": {"count": 1},
    "json_only": {},
    "json_keys": {"keys": ["a"]},
    "keywords": {"words": ["a a"]},
    "one_of": {"options": ["a", "b"]},
    "paragraph_starts": {"paragraph": 2, "word": "a"},
    "paragraphs": {"count": 1},
    "placeholders": {"count": 1},
    "postscript": {"marker": "P.S."},
    "quoted": {},
    "sections": {"word": "a", "count": 1},
    "sentences": {"count": 1},
    "starred_paragraphs": {"count": 1},
    "title": {},
    "two_answers": {},
    "unique_words": {},
    "words": {"count": 1},
    "numbered": {"count": 1},
}
_SPECIAL = re.compile("(" + "|".join(map(re.escape, SPECIAL_TOKENS)) + ")")
_CALL = f"{t.CALL_BEGIN}functions.f:0{t.CALL_ARGUMENT}{{}}{t.CALL_END}"
_PAGES = (
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN A ",
    "A ",
    "a@",
    "@a",
    "a.",
    "+49 30 12 ",
    "1.",
    "a:",
    "sk-",
    "github_pat_",
)


_MARKS = ("<answer>", "#### ", "#### a\n", "\\boxed{", "\\text{", "answer is ", "A or ", "\\")


class Scorer(NamedTuple):
    """Something that reads what others wrote, and a text that is bad for it."""

    name: str
    piece: str
    read: Callable[[str], object]


def list_scorers(sandbox: Sandbox) -> Iterator[Scorer]:
    """Every scorer with every piece that is bad for its kind."""
    for kind, fields in _FORMS.items():
        for piece in _WORST:
            yield Scorer(kind, piece, partial(_verify, "instruction", {"kind": kind, **fields}))
    expected: dict[str, dict[str, JsonValue]] = {
        "integer_answer": {"answer": 5},
        "text_answer": {"answer": "a b"},
        "choice": {"answer": "B", "choices": ["a b", "b"]},
        "scenario": {"state": {}, "answers": ["5"], "must_call": [], "must_not_call": []},
        "final_state": {"state": {}, "answer": "a"},
        "tool_calls": {"calls": [{"name": "f", "arguments": {}}]},
    }
    for name in expected.keys() & VERIFIERS.keys() - {"tool_calls"}:
        for piece in ("1,", "1 ", "1\n", "1 or ", "1'000", "a ", "**", *_MARKS):
            yield Scorer(name, piece, partial(_verify, name, expected[name]))
    puzzle: dict[str, JsonValue] = {"answer": "8*(1+1+1)", "metadata": {"numbers": [1, 1, 1, 8]}}
    sums: dict[str, JsonValue] = {"dataset": "puzzle24", "entry": puzzle}
    yield Scorer("puzzle", "(1+", partial(_verify, "puzzle", sums))
    for piece in ("\\boxed{", "$", "is ", "\\(", "9**"):
        mathematics = partial(_verify, "expression", {"answer": "10"}, sandbox=sandbox)
        yield Scorer("expression", piece, mathematics)
    yield from list_parsers()


def list_parsers() -> Iterator[Scorer]:
    """What reads calls, results, answers of endpoints, users' questions and pages."""
    yield Scorer("extract_code", "```a\n", extract_code)
    for piece in ("```a", "~", "~~~ "):
        yield Scorer("extract_code", piece, extract_code)
    yield Scorer("final_number", "1 or ", final_number)
    for piece in _MARKS:
        yield Scorer("final_answer", piece, final_answer)
    goal = Goal(text="a", details={"a": "b"})
    yield Scorer("asked_details", "a ", partial(asked_details, goal))
    for piece in ("[", '{"a":', "[1,", '"\\ud83d",'):
        yield Scorer("read_json", piece, partial(_try, read_json))
        yield Scorer("stated_error", piece, stated_error)
        yield Scorer("read_turn", piece, lambda text: _try(read_turn, text, 0, 64))
    for piece in ('{"role": "user"},', '{"$ref": "#"},', "[", '{"name": "f", "parameters": {}},'):
        yield Scorer("validate_line", piece, lambda text: list(validate_line(_line(text))))
    pattern: dict[str, JsonValue] = {"pattern": "^(a|aa)+$"}
    for piece in ("a", "aab"):
        yield Scorer("schema", piece, read_schema(pattern).find_breaches)
    for piece in (_CALL, t.CALL_BEGIN, "functions.f:"):
        yield Scorer("parse_spans", piece, _parse)
    for piece in _PAGES:
        yield Scorer("redact", piece, redact)


def _line(text: str) -> str:
    return f'{{"messages": [{text}{{"role": "user"}}], "tools": [{text}{{}}]}}'


def _parse(text: str) -> object:
    numbered = text.split("functions.f:0")
    calls = "".join(f"functions.f:{at}{part}" for at, part in enumerate(numbered[1:]))
    parts = _SPECIAL.split(f"{t.CALLS_BEGIN}{numbered[0]}{calls}{t.CALLS_END}")
    spans = [TokenSpan(part, special=place % 2 == 1) for place, part in enumerate(parts) if part]
    return _try(parse_spans, spans, 0)


def _try(read: Callable[..., object], *given: object) -> object:
    try:
        return read(*given)
    except (NotJsonError, ToolCallSyntaxError, BrokenBodyError) as error:
        return error


def _verify(
    verifier: str, expected: dict[str, JsonValue], text: str, sandbox: Sandbox | None = None
) -> object:
    problem = Problem(
        problem_id="bench/train/0",
        family="bench",
        group="general",
        messages=(Message(role="user", content="?"),),
        verifier=verifier,
        expected=expected,
    )
    answer = Message(role="assistant", content=f"x{text}x")
    return verify(problem, Outcome((answer,)), sandbox)


class Growth(NamedTuple):
    """How long a scorer takes for a text ten times as long."""

    scorer: Scorer
    seconds: tuple[float, ...]
    """At each size; none at those after one that took too long."""

    @property
    def exponent(self) -> float:
        """Between the first and the last size that were measured; 1 is linear."""
        first, last = (max(s, _FLOOR_S) for s in (self.seconds[0], self.seconds[-1]))
        decades = math.log10(SIZES[len(self.seconds) - 1] / SIZES[0])
        return math.log10(last / first) / max(decades, 1)


def measure_growth(scorer: Scorer) -> Growth:
    """Time a scorer at all sizes; the largest is spared one that would take for ever."""
    seconds: list[float] = []
    for size in SIZES:
        if seconds and seconds[-1] > _TOO_LONG_S:
            break
        text = scorer.piece * (size // len(scorer.piece))
        clock = time.perf_counter if scorer.name == "expression" else time.process_time
        first = _time(scorer.read, text, clock)
        again = first < _LONG_S
        seconds.append(min(first, _time(scorer.read, text, clock)) if again else first)
    return Growth(scorer, tuple(seconds))


def _time(read: Callable[[str], object], text: str, clock: Callable[[], float]) -> float:
    gc.collect()
    gc.disable()  # its passes over a million fresh objects are the interpreter's, not a scorer's
    try:
        started = clock()
        read(text)
        return clock() - started
    finally:
        gc.enable()


def main() -> None:
    """Print one row a scorer, its worst text, and the largest growth of all."""
    worst: dict[str, Growth] = {}
    with Sandbox.start() as sandbox:
        for scorer in list_scorers(sandbox):
            found = measure_growth(scorer)
            if found.exponent >= worst.setdefault(scorer.name, found).exponent:
                worst[scorer.name] = found
    table = Table("scorer", "text", *(f"{size:,}" for size in SIZES), "growth")
    rows = sorted(worst.values(), key=lambda found: -found.exponent)
    for found in rows:
        times = [f"{1000 * s:.2f} ms" for s in found.seconds] + ["-"] * len(SIZES)
        piece = repr(found.scorer.piece)[:24]
        table.add_row(found.scorer.name, piece, *times[: len(SIZES)], f"{found.exponent:.2f}")
    Console().print(table)
    print(f"scorers growth={rows[0].exponent:.2f} limit={LIMIT} worst={rows[0].scorer.name}")


if __name__ == "__main__":
    main()
