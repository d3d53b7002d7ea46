"""Guards the stages' VERSIONs: sources that changed must be bumped for, or acknowledged.

Flyte answers a stage from its cache as long as VERSION and inputs are the same, whatever the work's
code says by now. `tasks/versions.json` records which sources each VERSION was stated for. After a
change of a stage's sources: bump VERSION in `tasks/STAGE.py` if equal inputs would now give other
bytes, then record it:

    python -m infra.versions --acknowledge [STAGE ...]
"""

import argparse
import ast
import hashlib
import json
import sys
from pathlib import Path
from typing import TypedDict

from infra.home import ROOT
from infra.stages import name_faults
from schemas.recipe import STAGES

_RECORD = Path("tasks") / "versions.json"


class StageRecord(TypedDict):
    """A VERSION and the sources that it was stated for: path -> hash."""

    version: str
    sources: dict[str, str]


def stated_version(stage: str, root: Path = ROOT) -> str:
    """The VERSION in `tasks/STAGE.py`, read without importing it."""
    for node in ast.parse((root / "tasks" / f"{stage}.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VERSION":
            return str(ast.literal_eval(node.value))
    raise ValueError(f"tasks/{stage}.py states no VERSION")


def sources_of(stage: str, root: Path = ROOT) -> dict[str, str]:
    """Hash of the stage's room and promise, and of every room and promise that those import.

    A room is `k2core/NAME` (an engine: `k2core/engines/NAME`) as a whole, because parts of it may
    be started as programs or read as data; a promise is one file of `schemas`.
    """
    pending = {f"k2core/{stage}", f"schemas/{stage}.py"}
    found: dict[str, str] = {}
    while pending:
        unit = pending.pop()
        files = _files(root / unit)
        found[unit] = _hash(root / unit, files)
        for path in files:
            if path.suffix == ".py":
                pending |= {_unit(module, root) for module in _imports(path)} - found.keys()
        pending.discard("")
    return dict(sorted(found.items()))


def read_records(root: Path = ROOT) -> dict[str, StageRecord]:
    """What was recorded last: stage -> version and sources."""
    path = root / _RECORD
    return json.loads(path.read_text()) if path.exists() else {}


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
        }
    ordered = {stage: records[stage] for stage in STAGES if stage in records}
    (root / _RECORD).write_text(json.dumps(ordered, indent=2) + "\n")


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


def _files(unit: Path) -> list[Path]:
    if unit.is_file():
        return [unit]
    return sorted(p for p in unit.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _hash(unit: Path, files: list[Path]) -> str:
    """Over paths and contents; of Python what runs, so that a comment needs no acknowledgement."""
    digest = hashlib.sha256()
    for path in files:
        code = _running_code(path) if path.suffix == ".py" else path.read_bytes()
        digest.update(f"{path.relative_to(unit)} {len(code)}\n".encode() + code)
    return digest.hexdigest()[:16]


def _running_code(path: Path) -> bytes:
    tree = ast.parse(path.read_text(), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)]
    return ast.dump(tree).encode()


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, a module's, a function's or an attribute's."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _imports(path: Path) -> set[str]:
    """Modules of k2core and schemas that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith(("k2core.", "schemas."))}


def _unit(module: str, root: Path) -> str:
    """The room or promise that a dotted name lives in; empty for the bare top packages."""
    parts = module.split(".")
    depth = 3 if parts[:2] == ["k2core", "engines"] else 2
    path = "/".join(parts[:depth])
    if (root / path).is_dir():
        return path
    return f"{path}.py" if (root / f"{path}.py").is_file() else ""


if __name__ == "__main__":
    raise SystemExit(main())
