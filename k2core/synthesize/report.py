"""What came out: counts by family and reason, lengths, samples."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from pydantic import TypeAdapter

from k2core.chat import SPECIAL_TOKENS, render
from k2core.reporting import Reporter
from k2core.synthesize.shards import Shard
from k2core.tools.diversity import draw_map, embed_tools, measure_spread
from k2core.tools.listed import CatalogEntry, Origin
from schemas.chat import Message, Problem, ToolSpec, TrajectoryRow

_MESSAGES = TypeAdapter(tuple[Message, ...])
_GENERATED = Origin("k2core.problems", "Apache-2.0", "generated")
_NUM_SAMPLES = 12
_MAPPED = 250


@dataclass
class Summary:
    """Statistics over all shards, one shard in memory at a time."""

    accepted: Counter[str] = field(default_factory=Counter)
    """By family."""
    rejected: Counter[str] = field(default_factory=Counter)
    """By family."""
    reasons: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    """Accepted dialogues by assistant messages."""
    calls: Counter[int] = field(default_factory=Counter)
    """Accepted dialogues by tool calls."""
    characters: list[int] = field(default_factory=list)
    """Rendered length of each accepted dialogue, a special token counted as one."""
    tools: dict[str, ToolSpec] = field(default_factory=dict)
    """Every spec that a simulated problem declared."""
    samples: list[dict[str, object]] = field(default_factory=list)
    reject_samples: dict[str, dict[str, object]] = field(default_factory=dict)
    """The first reject of each side."""

    @classmethod
    def of(cls, shards: Sequence[Shard]) -> "Summary":
        """Read the shards."""
        summary = cls()
        for shard in shards:
            for row in _rows(shard.rejects):
                summary.rejected[row["family"]] += 1
                summary.reasons[row["reason"]] += 1
                summary.reject_samples.setdefault(row["fault"], _reject_sample(row))
            for row in _rows(shard.accepted):
                summary._add(row)
        return summary

    def _add(self, row: dict[str, Any]) -> None:
        problem = Problem.model_validate_json(row["problem"])
        messages = _MESSAGES.validate_json(row["messages"])
        if not self.accepted[row["family"]] and len(self.samples) < _NUM_SAMPLES:
            self.samples.append(_sample(row, messages))
        self.accepted[row["family"]] += 1
        self.turns[sum(m.role == "assistant" for m in messages)] += 1
        self.calls[sum(len(m.tool_calls) for m in messages)] += 1
        self.characters.append(_length(render(messages, problem.tools)))
        if not problem.environment.startswith("mcp_"):
            for tool in problem.tools:
                self.tools.setdefault(tool.model_dump_json(), tool)

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
        lengths = sorted(self.characters) or [0]
        return {
            "accepted": dict(self.accepted),
            "rejected": dict(self.rejected),
            "reasons": dict(self.reasons),
            "turns": {str(k): v for k, v in sorted(self.turns.items())},
            "calls": {str(k): v for k, v in sorted(self.calls.items())},
            "characters": {
                "mean": round(sum(lengths) / len(lengths), 1),
                "median": lengths[len(lengths) // 2],
                "largest": lengths[-1],
            },
        }


def report_summary(summary: Summary, report: Reporter) -> None:
    """Tables and a histogram."""
    from matplotlib.figure import Figure

    families = [
        {"family": f, "accepted": summary.accepted[f], "rejected": summary.rejected[f]}
        for f in sorted(summary.accepted | summary.rejected)
    ]
    report.table("Trajectories by family", families)
    reasons = [{"reason": r, "rejected": n} for r, n in summary.reasons.most_common()]
    report.table("Why dialogues were rejected, and whose fault it was", reasons)
    report.table("Accepted dialogues, one of each family", summary.samples)
    rejects = [sample for _, sample in sorted(summary.reject_samples.items())]
    report.table("Rejected dialogues, one of each side at fault", rejects)
    figure = Figure(figsize=(9, 3), layout="tight")
    left, right = figure.subplots(1, 2)
    left.bar(list(summary.calls), list(summary.calls.values()))
    left.set(xlabel="tool calls", ylabel="dialogues")
    right.hist(summary.characters, bins=40)
    right.set(xlabel="characters, a special token as one", ylabel="dialogues")
    report.plot("Calls and lengths of accepted dialogues", figure)


def report_diversity(entries: Sequence[CatalogEntry], report: Reporter) -> None:
    """How different the tools are, real ones apart from generated ones, and their map."""
    groups = {
        "real": [e.spec for e in entries if e.origin.role != "generated"],
        "generated": [e.spec for e in entries if e.origin.role == "generated"],
    }
    groups = {name: specs for name, specs in groups.items() if len(specs) > 1}
    if not groups:
        return
    vectors = embed_tools([spec for specs in groups.values() for spec in specs])
    parts, start = {}, 0
    for name, specs in groups.items():
        parts[name] = vectors[start : start + len(specs)]
        start += len(specs)
    spreads = [
        {"tools": name, "count": len(part), **measure_spread(part)._asdict()}
        for name, part in parts.items()
    ]
    report.table("How different the tools are", spreads)
    report.plot("Coverage of tools", draw_map(parts, per_group=_MAPPED))


def _rows(path: Any) -> Iterator[dict[str, Any]]:
    return TrajectoryRow.validate(pl.read_parquet(path)).iter_rows(named=True)


def _length(text: str) -> int:
    for token in SPECIAL_TOKENS:
        text = text.replace(token, "#")
    return len(text)


def _reject_sample(row: dict[str, Any]) -> dict[str, object]:
    return {"reason": row["reason"], **_sample(row, _MESSAGES.validate_json(row["messages"]))}


def _sample(row: dict[str, Any], messages: Sequence[Message]) -> dict[str, object]:
    said = [
        f"{m.role}: {m.content or json.dumps([[c.name, c.arguments] for c in m.tool_calls])}"
        for m in messages
    ]
    return {"family": row["family"], "dialogue": "\n".join(said)}
