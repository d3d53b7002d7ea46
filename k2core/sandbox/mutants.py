"""Wrong solutions made of a right one: each differs from it in one place."""

import ast
import copy
import random
from collections.abc import Callable, Iterator

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
}
Change = Callable[[ast.AST], bool]


def mutants(source: str, most: int, seed: int = 0) -> list[str]:
    """At most so many different ones, by a generator of this seed."""
    tree = ast.parse(source)
    original = ast.unparse(tree)
    sites = [(at, change) for at, node in enumerate(ast.walk(tree)) for change in _changes(node)]
    random.Random(seed).shuffle(sites)
    found: list[str] = []
    for at, change in sites:
        if len(found) == most:
            break
        mutant = copy.deepcopy(tree)
        if not change(list(ast.walk(mutant))[at]):
            continue
        text = ast.unparse(ast.fix_missing_locations(mutant))
        if text != original and text not in found:
            found.append(text)
    return found


def stubs(entry_points: tuple[str, ...]) -> list[str]:
    """Solutions that do no work at all, whatever is asked."""
    bodies = ("return None", "return a[0] if a else 0", "raise StopIteration")
    return [
        "\n".join(f"def {name}(*a, **k):\n    {body}" for name in entry_points) for body in bodies
    ]


def _changes(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        yield _compare
    elif isinstance(node, ast.BinOp):
        yield _compute
    elif isinstance(node, ast.BoolOp):
        yield _connect
    elif isinstance(node, ast.Constant):
        yield _constant
    elif isinstance(node, ast.Return) and node.value is not None:
        yield _return_nothing
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield _negate


def _compare(node: ast.AST) -> bool:
    assert isinstance(node, ast.Compare)
    other = _COMPARED.get(type(node.ops[0]))
    if other is not None:
        node.ops[0] = other()
    return other is not None


def _compute(node: ast.AST) -> bool:
    assert isinstance(node, ast.BinOp)
    other = _COMPUTED.get(type(node.op))
    if other is not None:
        node.op = other()
    return other is not None


def _connect(node: ast.AST) -> bool:
    assert isinstance(node, ast.BoolOp)
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    return True


def _constant(node: ast.AST) -> bool:
    assert isinstance(node, ast.Constant)
    value = node.value
    if isinstance(value, bool):
        node.value = not value
    elif isinstance(value, int | float):
        node.value = value + 1
    elif isinstance(value, str) and len(value) < 40:  # a longer one is documentation
        node.value = value + "x"
    else:
        return False
    return True


def _return_nothing(node: ast.AST) -> bool:
    assert isinstance(node, ast.Return)
    node.value = ast.Constant(None)
    return True


def _negate(node: ast.AST) -> bool:
    assert isinstance(node, ast.If | ast.IfExp | ast.While)
    node.test = ast.UnaryOp(ast.Not(), node.test)
    return True
