"""A module's source as statements: what each makes, reads and imports."""

import ast
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

ALL = "*"
"""In place of a name: the whole module."""


class Imported(NamedTuple):
    """`from module import name`; the name is `ALL` where the module itself is imported."""

    module: str
    name: str

    @property
    def top(self) -> str:
        """The package that it is from."""
        return self.module.split(".")[0]


class ModuleStatement(NamedTuple):
    """A statement at the top of a module; an import is one for each of its names."""

    node: ast.stmt
    made: frozenset[str]
    """Names that it defines or binds; none for one that only acts."""
    used: frozenset[str]
    """Names in it, those in quotes included, as in an annotation."""
    imports: frozenset[Imported]
    """What it imports, anywhere in it."""
    texts: frozenset[str]
    """Strings in it, but for what documents it."""


@cache
def statements_of(source: bytes) -> tuple[ModuleStatement, ...]:
    """All that runs, in order: without docstrings and what stands under `if TYPE_CHECKING`."""
    tree = _Running().visit(ast.parse(source))
    return tuple(_statement(node) for whole in tree.body for node in _one_by_one(whole))


@cache
def running_code(node: ast.stmt) -> bytes:
    """The statement without its place, layout and comments."""
    return ast.dump(node).encode()


class _Running(ast.NodeTransformer):
    """Drops what does not run: texts that document, and what only type checkers read."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        value = node.value
        self.generic_visit(node)
        is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
        return None if is_text else node


def _one_by_one(node: ast.stmt) -> Iterator[ast.stmt]:
    if isinstance(node, ast.Import):
        yield from (ast.Import([alias]) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (ast.ImportFrom(node.module, [alias], node.level) for alias in node.names)
    else:
        yield node


def _statement(node: ast.stmt) -> ModuleStatement:
    names: set[str] = set()
    texts: set[str] = set()
    imports: set[Imported] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            names.add(inner.id)
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            texts.add(inner.value)
        elif isinstance(inner, ast.Import):
            imports |= {Imported(alias.name, ALL) for alias in inner.names}
        elif isinstance(inner, ast.ImportFrom) and inner.module:
            imports |= {Imported(inner.module, alias.name) for alias in inner.names}
    used = frozenset(names | texts)
    return ModuleStatement(node, frozenset(_made(node)), used, frozenset(imports), frozenset(texts))


def _made(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return set()
