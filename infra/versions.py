"""Guards the stages' VERSIONs: sources that changed must be bumped for, or acknowledged.

Flyte answers a stage from its cache as long as its identity and inputs are the same, whatever the
work's code says by now. The identity is VERSION and what the locks pin the stage's packages to: a
bumped pin makes the stages that use the package run again, without a word. Of sources a person has
to say it: `tasks/versions.json` records which each VERSION was stated for. After a change of them,
bump VERSION in `tasks/STAGE.py` if equal inputs would now give other bytes, then record it:

    python -m infra.versions --acknowledge [STAGE ...]
"""

import argparse
import ast
import hashlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import TypedDict

from infra.home import ROOT
from infra.packages import packages_of, read_pins
from infra.sources import sources_of
from infra.stages import name_faults
from schemas.recipe import STAGES

_RECORD = Path("tasks") / "versions.json"


class StageRecord(TypedDict):
    """A VERSION, the sources that it was stated for (path -> hash), and the packages they use."""

    version: str
    sources: dict[str, str]
    packages: list[str]


def stated_version(stage: str, root: Path = ROOT) -> str:
    """The VERSION in `tasks/STAGE.py`, read without importing it."""
    for node in ast.parse((root / "tasks" / f"{stage}.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VERSION":
            return str(ast.literal_eval(node.value))
    raise ValueError(f"tasks/{stage}.py states no VERSION")


def read_records(root: Path = ROOT) -> dict[str, StageRecord]:
    """What was recorded last: stage -> version and sources."""
    path = root / _RECORD
    return json.loads(path.read_text()) if path.exists() else {}


_records = cache(read_records)


def identity_of(stage: str, version: str, root: Path = ROOT) -> str:
    """A VERSION and what the stage's packages are pinned to, e.g. `2026.11.25+3f2a91c0`."""
    record = _records(root).get(stage)
    if record is None:
        raise ValueError(
            f"{stage} is not in {_RECORD}; record it with: python -m infra.versions --acknowledge "
            f"{stage}"
        )
    pins = read_pins(root)
    used = {name: pins.get(name, "gone") for name in record["packages"]}
    return f"{version}+{hashlib.sha256(json.dumps(used).encode()).hexdigest()[:8]}"


def check_stage(stage: str, root: Path = ROOT) -> str | None:
    """What is wrong with a stage's VERSION, with the way out; None if it stands."""
    version, sources = stated_version(stage, root), sources_of(stage, root)
    recorded = read_records(root).get(stage)
    command = f"python -m infra.versions --acknowledge {stage}"
    if recorded is None:
        return f"{stage} is not in {_RECORD}; record it with: {command}"
    old = recorded["sources"]
    changed = [u for u in sorted(old.keys() | sources.keys()) if old.get(u) != sources.get(u)]
    if changed and version == recorded["version"]:
        return (
            f"{', '.join(changed)} changed since {stage}'s VERSION {version} was stated. If equal "
            f"inputs would now give other bytes, bump VERSION in tasks/{stage}.py. Either way "
            f"record it with: {command}"
        )
    if recorded.get("packages") != list(packages_of(stage, root)):
        return f"{stage} uses other packages than were recorded; record them with: {command}"
    if version != recorded["version"] or changed:
        return f"{stage}'s VERSION is now {version}; record it with: {command}"
    return None


def acknowledge(stages: tuple[str, ...], root: Path = ROOT) -> None:
    """Record the stages' VERSIONs and sources as they are now."""
    records = read_records(root)
    for stage in stages:
        records[stage] = {
            "version": stated_version(stage, root),
            "sources": sources_of(stage, root),
            "packages": list(packages_of(stage, root)),
        }
    ordered = {stage: records[stage] for stage in STAGES if stage in records}
    (root / _RECORD).write_text(json.dumps(ordered, indent=2) + "\n")
    _records.cache_clear()


def main() -> int:
    """Check or acknowledge stages from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", help="by default all")
    parser.add_argument("--acknowledge", action="store_true", help="record them as they are now")
    arguments = parser.parse_args()
    if faults := name_faults():
        parser.error("; ".join(faults))
    stages = tuple(arguments.stages) or STAGES
    if unknown := sorted(set(stages) - set(STAGES)):
        parser.error(f"no stage {', '.join(unknown)}; there are {', '.join(STAGES)}")
    if arguments.acknowledge:
        acknowledge(stages)
    problems = [problem for stage in stages if (problem := check_stage(stage))]
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return bool(problems)


if __name__ == "__main__":
    raise SystemExit(main())
