"""The process that runs the hidden tests against proxies; it never runs a line of the solution."""

import ast
import json
import os
from typing import NamedTuple

from k2core.sandbox.inside.codec import decode
from k2core.sandbox.inside.link import Link, SolverGoneError, declared_exception
from k2core.sandbox.inside.proxy import Questions

PASSED, FAILED = b"P", b"F"
_SETTLE, _KEEP = "__settle__", "__keep__"


class _Tests(NamedTuple):
    """What a tester is given."""

    tests: list[str]
    entry_points: list[str]


def run_tests(payload: str) -> None:
    """Run each test, saying at once whether it held; then why the first one did not, as JSON."""
    given = _Tests(**json.loads(payload))
    link = Link(os.dup(0), os.dup(1))
    verdict = os.dup(2)
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    asked = Questions(link)
    first, failed_import = "", _failure_of_import(link)
    for test in given.tests:
        failure = failed_import or _run_test(asked, test, given.entry_points)
        if link.gone:  # whatever the test made of it
            failure = f"solution gone: {link.gone}"
        first = first or failure
        os.write(verdict, FAILED if failure else PASSED)
    os.write(verdict, b"\n" + json.dumps(first[:200]).encode() + b"\n")


def _failure_of_import(link: Link) -> str:
    try:
        link.await_import()
    except SolverGoneError as error:
        return f"solution gone at import: {error}"
    except Exception as error:  # any error of the solution's own code
        return f"solution failed at import: {_name(error)}"
    return ""


def _run_test(asked: Questions, test: str, entry_points: list[str]) -> str:
    try:
        tree = ast.parse(test)
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names: dict[str, object] = {
            "__name__": "tests",
            _SETTLE: asked.settle,
            _KEEP: lambda value: list(value) if type(value) in (list, dict, set) else value,
        }
        # Only declared names resolve in the solver: a helper that it defines under the name of
        # one in the test would otherwise decide the verdict.
        for name in sorted(used & set(entry_points)):
            names[name] = _entry_point(asked, name)
        exec(compile(_settled(tree), "test", "exec"), names)
    except SolverGoneError as error:
        return f"solution gone: {error}"
    except BaseException as error:
        return _name(error)
    return ""


def _entry_point(asked: Questions, name: str) -> object:
    """The solver's function or class of this name."""
    reply = asked.link.ask({"do": "get", "args": [name]})
    is_class = name[:1].isupper()
    value = reply["value"]
    if is_class and isinstance(value, dict) and isinstance(body := value.get("ref"), list):
        kind = declared_exception(body[1]) if len(body) > 1 else None
        if kind is not None:
            return asked.link.raised.setdefault(kind.__name__, kind)
    return decode(value, asked.resolver(made=is_class))


def _settled(tree: ast.Module) -> ast.Module:
    """The test with what calls did to arguments shown before each statement.

    A loop goes over its list as it was when the loop began, whatever a call did to it.
    """
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.For):
            kept = ast.Name(_KEEP, ast.Load())
            node.iter = ast.Call(func=kept, args=[node.iter], keywords=[])
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list) and statements:
                setattr(node, field, [part for s in statements for part in _preceded(s)])
    return ast.fix_missing_locations(tree)


def _preceded(statement: ast.stmt) -> list[ast.stmt]:
    if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
        return [statement]
    called = ast.Call(func=ast.Name(_SETTLE, ast.Load()), args=[], keywords=[])
    return [ast.Expr(called), statement]


def _name(error: BaseException) -> str:
    """The error in words; its text may hold an answer of the solution that cannot be printed."""
    try:
        return f"{type(error).__name__}: {error}"[:200]
    except BaseException:  # e.g. an integer of more digits than Python converts
        return type(error).__name__
