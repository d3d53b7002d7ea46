"""Where, when and with what each stage of a release was done: what no equal bytes can say."""

import json
from collections.abc import Iterable

from infra.index import Indexed
from infra.progress import format_seconds
from workflows.attest.facts import ReleaseFacts, as_time

_UNKNOWN = "unknown"


def tell_making(facts: ReleaseFacts) -> str:
    """MADE.md: machines, times, commits and packages, from the recorded runs."""
    runs = [stage.run for stage in facts.stages]
    total = sum(map(_seconds, facts.stages))
    return f"""# How this was made

From the runs that recorded release `{facts.release.digest}`; a stage that a later run took from
its cache is told as it was done.

| stage | version | machine | begun | took | commit |
|---|---|---|---|---|---|
{chr(10).join(map(_row, facts.stages))}

In all {format_seconds(total)}. No stage measures energy. A `+` behind a commit: with changes that
were not committed.

## Packages

{_packages(facts.stages)}
Python {_join(run.tags.get("python", _UNKNOWN) for run in runs)}; locks \
{_join(f"`{run.tags.get('lock', _UNKNOWN)[:16]}`" for run in runs)} (SHA-256 of `infra/locks`).
"""


def _row(stage: Indexed) -> str:
    tags = stage.run.tags
    cells = (
        stage.record.stage,
        stage.record.version,
        tags.get("machine", _UNKNOWN),
        as_time(stage.run.started),
        format_seconds(_seconds(stage)),
        f"`{tags.get('code', _UNKNOWN)}`",
    )
    return f"| {' | '.join(cells)} |"


def _seconds(stage: Indexed) -> float:
    return ((stage.run.ended or stage.run.started) - stage.run.started) / 1000


def _packages(stages: Iterable[Indexed]) -> str:
    """What computes, trains and serves; a package of two versions has two rows."""
    found: dict[tuple[str, str], list[str]] = {}
    for stage in stages:
        recorded: dict[str, str] = json.loads(stage.run.tags.get("packages", "{}"))
        for package in recorded.items():
            found.setdefault(package, []).append(stage.record.stage)
    if not found:
        return "None were recorded.\n"
    everywhere = max(map(len, found.values()))
    rows = [
        f"| {name} | {version} | {'every stage' if len(in_) == everywhere else ', '.join(in_)} |"
        for (name, version), in_ in sorted(found.items())
    ]
    return "\n".join(["| package | version | in |", "|---|---|---|", *rows, ""])


def _join(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))
