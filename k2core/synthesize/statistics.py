"""What came out, in numbers: one shard in memory at a time."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from pydantic import TypeAdapter

from k2core.chat import SPECIAL_TOKENS, render
from k2core.synthesize.shards import TrajectoryShard
from k2core.tools.domains import classify_tool
from k2core.tools.listed import CatalogEntry, ToolOrigin
from schemas.chat import Message, Problem, ToolSpec, TrajectoryRow

_MESSAGES = TypeAdapter(tuple[Message, ...])
_GENERATED = ToolOrigin("k2core.problems", "Apache-2.0", "generated")
_NO_TOOLS = "no tools"
# tiktoken's cl100k_base, whose split K2's tokenizer has too, in the standard library's terms.
_PIECES = re.compile(
    r"'(?:[sdmt]|ll|ve|re)|(?:[^\r\n\w]|_)?[^\W\d_]+|\d{1,3}| ?(?:[^\s\w]|_)+[\r\n]*|\s*[\r\n]+|\s+"
)


class Stored(NamedTuple):
    """A stored trajectory as a reader wants it."""

    row: dict[str, Any]
    """Its `TrajectoryRow`."""
    problem: Problem
    messages: tuple[Message, ...]

    @property
    def num_calls(self) -> int:
        """Tool calls."""
        return sum(len(message.tool_calls) for message in self.messages)

    @property
    def num_turns(self) -> int:
        """Assistant messages."""
        return sum(message.role == "assistant" for message in self.messages)

    @property
    def tells(self) -> bool:
        """Whether it is long enough to show something, and short enough to be read."""
        return self.num_calls > 1 and 8 <= len(self.messages) <= 24


@dataclass
class TrajectorySummary:
    """Statistics over all shards."""

    accepted: Counter[str] = field(default_factory=Counter)
    """By family."""
    rejected: Counter[str] = field(default_factory=Counter)
    """By family."""
    reasons: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    """Accepted dialogues by assistant messages."""
    calls: Counter[int] = field(default_factory=Counter)
    """Accepted dialogues by tool calls."""
    domains: Counter[str] = field(default_factory=Counter)
    """Accepted dialogues by what most of their tools are about."""
    characters: list[int] = field(default_factory=list)
    """Rendered length of each accepted dialogue, a special token counted as one."""
    tokens: list[int] = field(default_factory=list)
    """Pieces of each that no merge of K2's tokenizer crosses: its tokens are as many or more."""
    tools: dict[str, ToolSpec] = field(default_factory=dict)
    """Every spec that a simulated problem declared."""
    firsts: dict[str, Stored] = field(default_factory=dict)
    """An accepted dialogue of each family."""
    shown: dict[str, Stored] = field(default_factory=dict)
    """One of each side at fault, and under the empty name an accepted one, that tell something."""

    @classmethod
    def of(cls, shards: Sequence[TrajectoryShard]) -> "TrajectorySummary":
        """Read the shards."""
        summary = cls()
        for shard in shards:
            for read in _read(shard.rejects):
                summary.rejected[read.row["family"]] += 1
                summary.reasons[read.row["reason"]] += 1
                summary._show(read)
            for read in _read(shard.accepted):
                summary._add(read)
        return summary

    def _add(self, read: Stored) -> None:
        self._show(read)
        self.firsts.setdefault(read.row["family"], read)
        self.accepted[read.row["family"]] += 1
        self.turns[read.num_turns] += 1
        self.calls[read.num_calls] += 1
        self.domains[name_domain(read.problem)] += 1
        text = render(read.messages, read.problem.tools)
        self.characters.append(_length(text))
        self.tokens.append(count_pieces(text))
        if not read.problem.environment.startswith("mcp_"):
            for tool in read.problem.tools:
                self.tools.setdefault(tool.model_dump_json(), tool)

    def _show(self, read: Stored) -> None:
        best = self.shown.get(read.row["fault"])
        if best is None or (read.tells and not best.tells):
            self.shown[read.row["fault"]] = read

    def counts(self) -> dict[str, float]:
        """For the artifact."""
        return {
            "trajectories": float(self.accepted.total()),
            "rejects": float(self.rejected.total()),
        }

    def generated_tools(self, distractors: Sequence[ToolSpec]) -> list[CatalogEntry]:
        """The generators' own specs."""
        foreign = {spec.model_dump_json() for spec in distractors}
        return [
            CatalogEntry(spec, _GENERATED, "simulator")
            for text, spec in sorted(self.tools.items())
            if text not in foreign
        ]

    def to_json(self) -> dict[str, object]:
        """`stats.json`."""
        return {
            "accepted": dict(self.accepted),
            "rejected": dict(self.rejected),
            "reasons": dict(self.reasons),
            "domains": dict(self.domains),
            "turns": {str(k): v for k, v in sorted(self.turns.items())},
            "calls": {str(k): v for k, v in sorted(self.calls.items())},
            "characters": spread_of(self.characters),
            "tokens": spread_of(self.tokens),
        }


def spread_of(values: Sequence[int]) -> dict[str, float]:
    """Mean, median and largest; 0 of none."""
    ordered = sorted(values) or [0]
    return {
        "mean": round(sum(ordered) / len(ordered), 1),
        "median": ordered[len(ordered) // 2],
        "largest": ordered[-1],
    }


def name_domain(problem: Problem) -> str:
    """What most of a problem's tools are about, by their words."""
    votes = Counter(
        _domain_of(tool.name, tool.description, problem.group) for tool in problem.tools
    )
    return max(votes, key=lambda domain: (votes[domain], domain), default=_NO_TOOLS)


def count_pieces(text: str) -> int:
    """Special tokens, and words, numbers and marks as K2's tokenizer splits before it merges."""
    special = sum(text.count(token) for token in SPECIAL_TOKENS)
    for token in SPECIAL_TOKENS:
        text = text.replace(token, "\0")
    return special + sum(len(_PIECES.findall(part)) for part in text.split("\0"))


@cache
def _domain_of(name: str, description: str, group: str) -> str:
    return classify_tool(name, description, group)


def _read(path: Path) -> Iterator[Stored]:
    for row in TrajectoryRow.validate(pl.read_parquet(path)).iter_rows(named=True):
        problem = Problem.model_validate_json(row["problem"])
        yield Stored(row, problem, _MESSAGES.validate_json(row["messages"]))


def _length(text: str) -> int:
    for token in SPECIAL_TOKENS:
        text = text.replace(token, "#")
    return len(text)
