"""Tests that only define what tests, as pytest and unittest collect it: here they are called."""

import ast
from collections.abc import Iterable, Sequence

_SOLUTION = "solution"
"""The module that such tests import what they test from (KodCode)."""
_RUN_CASE = """
import unittest as _unittest
_found = _unittest.TestResult()
_unittest.defaultTestLoader.loadTestsFromTestCase({name}).run(_found)
assert _found.testsRun, "it has no test"
assert _found.wasSuccessful(), (_found.errors + _found.failures)[0][1].splitlines()[-1]
"""
_RUN_METHODS = """
for _name in [name for name in dir({name}) if name.startswith("test")]:
    getattr({name}(), _name)()
"""


def call_definitions(test: str) -> str:
    """A test with its `test_...()` functions and its classes of tests called at its end.

    What it imports of the module `solution` is left out: that is what an answer defines.

    Raises:
        SyntaxError: it is no Python.
    """
    tree = ast.parse(test)
    if imported_names((test,)):
        tree = ast.fix_missing_locations(_WithoutSolution().visit(tree))
        test = ast.unparse(tree)
    calls = [call for statement in tree.body if (call := _call_of(statement))]
    return "\n".join((test, *calls)) if calls else test


def imported_names(tests: Sequence[str]) -> list[str]:
    """What tests import of the solution's module."""
    nodes = (node for test in tests for node in ast.walk(ast.parse(test)))
    return [
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == _SOLUTION
        for alias in node.names
    ]


class _WithoutSolution(ast.NodeTransformer):
    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        return ast.Pass() if node.module == _SOLUTION else node


def _call_of(statement: ast.stmt) -> str:
    if isinstance(statement, ast.FunctionDef) and statement.name.startswith("test"):
        given = statement.args
        needed = len(given.posonlyargs + given.args) - len(given.defaults)
        return "" if needed or None in given.kw_defaults else f"{statement.name}()"
    if not isinstance(statement, ast.ClassDef):
        return ""
    if any(ast.unparse(base).endswith("TestCase") for base in statement.bases):
        return _RUN_CASE.format(name=statement.name)
    if statement.name.startswith("Test") and _has_tests(statement.body):
        return _RUN_METHODS.format(name=statement.name)
    return ""


def _has_tests(body: Iterable[ast.stmt]) -> bool:
    return any(isinstance(part, ast.FunctionDef) and part.name.startswith("test") for part in body)
