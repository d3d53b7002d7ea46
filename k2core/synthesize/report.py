"""The stage's report: format statistics, three dialogues to read, and how different tools are."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from k2core.reporting import Reporter, Turn
from k2core.synthesize.statistics import Stored, TrajectorySummary, spread_of
from k2core.tools.diversity import draw_map, drop_near, embed_tools, measure_spread
from k2core.tools.listed import CatalogEntry
from schemas.chat import Message

_NUM_SAMPLES = 12
_MAPPED = 250
_VERDICTS = {
    "": "Accepted",
    "agent": "Rejected for the agent",
    "environment": "Rejected for the simulator (the environment)",
    "user": "Rejected for the simulated user",
    "judge": "Rejected for the judge",
}


def report_summary(summary: TrajectorySummary, report: Reporter) -> None:
    """Tables, a dialogue of each verdict, and histograms."""
    families = [
        {"family": f, "accepted": summary.accepted[f], "rejected": summary.rejected[f]}
        for f in sorted(summary.accepted | summary.rejected)
    ]
    report.table("Trajectories by family", families)
    reasons = [{"reason": r, "rejected": n} for r, n in summary.reasons.most_common()]
    report.table("Why dialogues were rejected, and whose fault it was", reasons)
    report_format(summary, report)
    for side, verdict in _VERDICTS.items():
        if stored := summary.shown.get(side):
            title = f"{verdict}: {stored.problem.problem_id}"
            report.dialogue(title, list(tell(stored)))
    samples = [
        {"family": family, "dialogue": "\n".join(f"{t.who}: {t.text}" for t in tell(stored))}
        for family, stored in list(summary.firsts.items())[:_NUM_SAMPLES]
    ]
    report.table("Accepted dialogues, one of each family", samples)


def report_format(summary: TrajectorySummary, report: Reporter) -> None:
    """Turns, calls, tokens and domains of what was accepted."""
    from matplotlib.figure import Figure

    parts = {
        "turns (assistant messages)": list(summary.turns.elements()),
        "tool calls": list(summary.calls.elements()),
        "tokens (at least: K2's split before its merges)": summary.tokens,
        "characters (a special token as one)": summary.characters,
    }
    rows = [{"of an accepted dialogue": name, **spread_of(vs)} for name, vs in parts.items()]
    report.table("Format of accepted dialogues", rows)
    figure = Figure(figsize=(11, 7), layout="tight")
    (turns, calls), (tokens, domains) = figure.subplots(2, 2)
    for axes, counts, name in ((turns, summary.turns, "turns"), (calls, summary.calls, "calls")):
        axes.bar(list(counts), list(counts.values()))
        axes.set(xlabel=name, ylabel="dialogues")
    tokens.hist(summary.tokens, bins=40)
    tokens.set(xlabel="tokens, at least", ylabel="dialogues")
    most = Counter(summary.domains).most_common(14)[::-1]
    domains.barh([name for name, _ in most], [count for _, count in most])
    domains.set(xlabel="dialogues by domain of their tools", xscale="log")
    report.plot("Turns, calls, tokens and domains of accepted dialogues", figure)


def tell(stored: Stored) -> Iterator[Turn]:
    """A dialogue as its reader wants it, the verdict last."""
    problem, row = stored.problem, stored.row
    for message in stored.messages:
        yield from _turns_of(message)
    for line in problem.rubric:
        yield Turn("criterion", line)
    passed = f"accepted by {row['judge']}, reward {row['reward']:g}"
    yield Turn(
        "verdict", f"{row['reason']} (reward {row['reward']:g})" if row["reason"] else passed
    )


def _turns_of(message: Message) -> Iterator[Turn]:
    if message.role == "tool":
        yield Turn(f"tool {message.name}", _indented(message.content))
        return
    if message.content:
        yield Turn(message.role, message.content)
    for call in message.tool_calls:
        yield Turn("assistant", f"{call.id}\n{_indented(call.arguments)}")


def _indented(text: str) -> str:
    """JSON, over several lines if it is long; any other text as it is."""
    try:
        content = json.loads(text)
    except ValueError:
        return text
    short = json.dumps(content, ensure_ascii=False)
    return short if len(short) <= 100 else json.dumps(content, ensure_ascii=False, indent=1)


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
        {
            "tools": name,
            "count": len(part),
            "distinct": len(drop_near(part)),
            **measure_spread(part)._asdict(),
        }
        for name, part in parts.items()
    ]
    report.table("How different the tools are", spreads)
    report.plot("Coverage of tools", draw_map(parts, per_group=_MAPPED))
