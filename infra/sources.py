"""What a stage's result depends on, read from the sources without importing them.

Of `k2core` that is every room that the stage's own reaches, as a whole, because parts of a room may
be started as programs or read as data. Of a promise (a file of `schemas`) it is what the stage
imports by name, and what those names are made of: another stage's class in the same file is no
concern of it. What only type checkers read is none of anybody's.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from infra.home import ROOT
from infra.statements import ALL, Imported, ModuleStatement, running_code, statements_of


def sources_of(stage: str, root: Path = ROOT) -> dict[str, str]:
    """Path -> hash: the rooms that the stage reaches, and its part of each promise."""
    rooms: dict[str, str] = {}
    promised = promises_of(stage, root)
    pending = {f"k2core/{stage}"}
    while pending:
        room = pending.pop()
        files = _files(root / room)
        rooms[room] = _hash(root / room, files)
        for path in files:
            if path.suffix == ".py":
                found = {i for s in statements_of(path.read_bytes()) for i in s.imports}
                promised |= {i for i in found if i.top == "schemas"}
                pending |= {_room(i, root) for i in found} - rooms.keys() - {""}
    promises = {
        name: hashlib.sha256(part.code).hexdigest()[:16]
        for name, part in parts_of(promised, ("schemas",), root).items()
    }
    return dict(sorted((rooms | promises).items()))


def promises_of(stage: str, root: Path) -> set[Imported]:
    """What a stage promises: its own file of `schemas`, and what its task's signature names."""
    task = statements_of((root / "tasks" / f"{stage}.py").read_bytes())
    stated = {i for statement in task for i in statement.imports if i.top == "schemas"}
    return {Imported(f"schemas.{stage}", ALL), *stated}


class ModulePart(NamedTuple):
    """The statements of a module that make the names which were asked for."""

    statements: tuple[ModuleStatement, ...]

    @property
    def code(self) -> bytes:
        """What runs of it."""
        return b"\n".join(running_code(statement.node) for statement in self.statements)

    @property
    def imports(self) -> set[Imported]:
        """What it imports."""
        return {i for statement in self.statements for i in statement.imports}

    @property
    def texts(self) -> set[str]:
        """The strings in it: names of files, programs and packages are among them."""
        return {text for statement in self.statements for text in statement.texts}


def parts_of(
    wanted: set[Imported], rooms: tuple[str, ...], root: Path = ROOT
) -> dict[str, ModulePart]:
    """Path -> part, of every module of the rooms that these imports reach, name by name."""
    names: dict[Path, set[str]] = {}
    parts: dict[Path, ModulePart] = {}
    pending = {imported for imported in wanted if imported.top in rooms}
    seen: set[Imported] = set()
    while pending:
        imported = pending.pop()
        seen.add(imported)
        for path, name in _places_of(imported, root):
            if name in names.setdefault(path, set()):
                continue
            names[path].add(name)
            part = _part(statements_of(path.read_bytes()), names[path])
            parts[path] = part
            found = {*part.imports, *_started(path, part, root)}
            pending |= {i for i in found if i.top in rooms} - seen
    return {path.relative_to(root).as_posix(): part for path, part in sorted(parts.items())}


def _part(statements: tuple[ModuleStatement, ...], names: set[str]) -> ModulePart:
    """The statements that make these names, and those that make no name, in their order."""
    made = frozenset().union(*(statement.made for statement in statements))
    reached = set(made if ALL in names else names)
    kept: list[ModuleStatement] = []
    while True:
        found = [s for s in statements if not s.made or s.made & reached]
        if len(found) == len(kept):
            return ModulePart(tuple(kept))
        kept = found
        for statement in kept:
            reached |= statement.used & made


def _places_of(imported: Imported, root: Path) -> Iterator[tuple[Path, str]]:
    """The file of an import and the name wanted of it; of the packages around it, none by name."""
    path = root
    parts = imported.module.split(".")
    for depth, part in enumerate(parts, 1):
        path /= part
        last = depth == len(parts)
        if path.with_suffix(".py").is_file():
            yield path.with_suffix(".py"), imported.name if last else ALL
        elif (path / "__init__.py").is_file():
            inside = last and (path / f"{imported.name}.py").is_file()
            yield path / "__init__.py", imported.name if last and not inside else ""
            if inside:
                yield path / f"{imported.name}.py", ALL
            elif last and (path / imported.name / "__init__.py").is_file():
                yield path / imported.name / "__init__.py", ALL


def _started(path: Path, part: ModulePart, root: Path) -> Iterator[Imported]:
    """What is started as a program: a module by its dotted name, a file beside by its own."""
    for text in part.texts:
        if re.fullmatch(r"k2core(\.\w+)+", text):
            yield Imported(text, ALL)
        elif re.fullmatch(r"\w+\.py", text):
            for found in path.parent.rglob(text):
                yield Imported(".".join(found.relative_to(root).with_suffix("").parts), ALL)


def _files(unit: Path) -> list[Path]:
    if unit.is_file():
        return [unit]
    return sorted(p for p in unit.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _hash(unit: Path, files: list[Path]) -> str:
    """Over paths and contents; of Python what runs, so that a comment needs no acknowledgement."""
    digest = hashlib.sha256()
    for path in files:
        code = path.read_bytes()
        if path.suffix == ".py":
            code = ModulePart(statements_of(code)).code
        digest.update(f"{path.relative_to(unit)} {len(code)}\n".encode() + code)
    return digest.hexdigest()[:16]


def _room(imported: Imported, root: Path) -> str:
    """The room of `k2core` that an import is from; empty for none."""
    parts = f"{imported.module}.{imported.name}".split(".")
    if parts[0] != "k2core":
        return ""
    depth = 3 if parts[:2] == ["k2core", "engines"] else 2
    path = "/".join(parts[:depth])
    if (root / path).is_dir():
        return path
    return f"{path}.py" if (root / f"{path}.py").is_file() else ""
