"""Code that a config names by a path: its source is part of the config's identity."""

import ast
import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from schemas.base import Config

DOTTED = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"
"""`package.module:Name`."""


class Code(Config):
    """A function or class of somebody's own, with what makes it the same one."""

    named: str
    """`FILE.py:NAME`, or `package.module:NAME` of what is installed here."""
    text: str = ""
    """The file's source, filled in: it is all that runs, wherever it runs."""
    signed: str = ""
    """Of a module: the SHA-256 of its package's sources, filled in."""

    @property
    def entry(self) -> str:
        """The name in it."""
        return self.named.rpartition(":")[2]

    @property
    def module(self) -> str:
        """The module's dotted path."""
        return self.named.rpartition(":")[0]


def read_code(named: str) -> Code:
    """What a config names, with its source.

    Raises:
        ValueError: there is no such file or module, or it is no Python; says which.
    """
    place, colon, entry = named.rpartition(":")
    if not colon or not entry.isidentifier():
        raise ValueError(f"{named!r} is not FILE.py:NAME or package.module:NAME")
    if not place.endswith(".py"):
        return Code(named=named, signed=digest_package(named))
    try:
        text = Path(place).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{place}: cannot be read: {error}") from None
    try:
        tree = ast.parse(text, place)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f"{place}: no Python: {error}") from None
    _check_source(Path(place), tree, entry)
    return Code(named=f"{Path(place).name}:{entry}", text=text)


def _check_source(place: Path, tree: ast.Module, entry: str) -> None:
    """Hold a file against what will run of it: itself alone, and in it the name.

    Raises:
        ValueError: it imports a file beside it, or has no such name.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        else:
            named = ["." * node.level + (node.module or "")]
        for name in (one if one[0] == "." else one.partition(".")[0] for one in named):
            if name[0] == "." or _is_beside(place, name):
                raise ValueError(f"{place}: line {node.lineno} imports {name!r}, which {_ALONE}")
    names = {name for statement in tree.body for name in _names_of(statement)}
    if entry not in names and "*" not in names:
        there = ", ".join(sorted(names)) or "nothing"
        raise ValueError(f"{place} has no {entry}; it has {there}")


_ALONE = (
    "lies beside it: only the file itself is carried along. Put both into one file, or into an "
    "installed package that is named as package.module:NAME"
)


def _is_beside(place: Path, name: str) -> bool:
    beside = place.with_name(f"{name}.py")
    package = place.parent / name / "__init__.py"
    if not (beside.is_file() or package.is_file()) or name in sys.stdlib_module_names:
        return False
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return True
    origin = Path(spec.origin or "") if spec else None
    return origin is None or origin.resolve() in (beside.resolve(), package.resolve())


def _names_of(statement: ast.stmt) -> list[str]:
    """Names that a statement of a module may define, those within its blocks included."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    found = list[str]()
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found += [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return found


def digest_package(dotted: str) -> str:
    """SHA-256 of all Python files of the package that holds a module.

    Raises:
        ValueError: there is no such module.
    """
    return digest_source(dotted.partition(":")[0].partition(".")[0]).partition("@")[2]


def digest_source(dotted: str) -> str:
    """`package.module:Name@SHA-256` of the module; of a package, of all its Python files.

    The module is found, not run. What it imports in turn is not looked at.

    Raises:
        ValueError: there is no such module.
    """
    module = dotted.partition(":")[0]
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise ValueError(f"{dotted!r}: no module {module!r} on Python's path")
    origin = Path(spec.origin)
    files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
    digest = hashlib.sha256()
    for path in files:
        source = path.read_bytes()
        digest.update(f"{path.relative_to(origin.parent)} {len(source)}\n".encode() + source)
    return f"{dotted}@{digest.hexdigest()}"


class NamedCode(Config):
    """What is known by a name, or is one's own code as `package.module:Class`."""

    kind: str
    """A name, or a path; subclasses say which names there are."""
    options: dict[str, float] = Field(default_factory=dict)
    """What code of one's own takes beside the named fields, by name."""
    source: str = ""
    """The module that `kind` names by a path, with its SHA-256; filled in, so that other code is
    another config."""

    @model_validator(mode="before")
    @classmethod
    def _sign(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        kind, source = str(values.get("kind", "")), str(values.get("source", ""))
        if ":" not in kind:
            return values | {"source": ""}
        return values if source.startswith(f"{kind}@") else values | {"source": digest_source(kind)}

    @model_validator(mode="after")
    def _knows_options(self) -> Self:
        if self.options and ":" not in self.kind:
            raise ValueError(
                f"options ({', '.join(self.options)}) are for code of one's own, as "
                f"package.module:Class; {self.kind} takes the named fields alone"
            )
        return self
