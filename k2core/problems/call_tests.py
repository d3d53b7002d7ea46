r"""A function's tests by arguments and value, as data sets write them, as assertions.

- `{"fn_name": "f", "inputs": [[2, 3]], "outputs": [[5]]}` (APPS, TACO): arguments, and the value or
  a list of it alone, as their own judge takes either.
- `[{"fn_name": "f", "input": [2, 3], "output": 5}]` (PrimeIntellect): the same, one by one.
- `[{"testtype": "functional", "input": "2\n3", "output": "5"}]` (LiveCodeBench): arguments as
  JSON, a line each; the name is `metadata.func_name`.

Where the starter code or the solution has a `class Solution`, the function is a method of it, and
what such solutions take for granted is imported before them, as the data sets' own judges do.
"""

import ast
import keyword
from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from pydantic import JsonValue

from k2core.problems.declared import from_json
from k2core.problems.faults import RowError, shown
from k2core.problems.packed import unpacked
from schemas.outside import NotJsonError, read_json

_CLASS = "Solution"
_GRANTED = "bisect collections functools heapq itertools math operator random re string typing"
_IMPORTS = "".join(f"import {name}\nfrom {name} import *\n" for name in _GRANTED.split())
_SETUP = f"{_IMPORTS}from builtins import *\n"
"""What a star hides of the built-in functions comes back last: `pow`, `open`."""


def read_call_tests(found: Mapping[str, JsonValue], solution: str) -> dict[str, JsonValue] | None:
    """`tests`, `entry_points`, `setup` and `starter_code` of a row that tests calls, or None.

    Args:
        found: what the row says.
        solution: a right program, or nothing.

    Raises:
        RowError: it does not say which function, or what of which arguments.
    """
    field = next((name for name in ("cases", "tests", "answer") if name in found), "")
    given = unpacked(found.get(field))
    if isinstance(given, dict) and given.get("fn_name"):
        name, pairs = str(given["fn_name"]), _from_lists(given, field)
    elif isinstance(given, list) and given and all(map(_is_functional, given)):
        name, pairs = _named(found), [_from_texts(cast("dict[str, JsonValue]", c)) for c in given]
    elif isinstance(given, list) and given and all(isinstance(c, dict) for c in given):
        listed = cast("list[dict[str, JsonValue]]", given)
        named = {str(case.get("fn_name") or "") for case in listed}
        if named == {""}:
            return None
        if len(named) > 1:
            raise RowError(field, f"must test one function, not {', '.join(sorted(named))}")
        (name,), pairs = named, [_from_values(case) for case in listed]
    else:
        return None
    if not name.isidentifier() or keyword.iskeyword(name):
        raise RowError(field, f"must name a function, not {shown(name)}")
    starter = str(found.get("starter_code") or "").rstrip()
    in_class = f"class {_CLASS}" in f"{starter}\n{solution}"
    starter = starter or _starter(solution, name)
    told: dict[str, JsonValue] = {"starter_code": starter} if starter else {}
    if in_class:
        told["setup"] = f"{_SETUP}{found.get('setup') or ''}"
    called = f"{_CLASS}().{name}" if in_class else name
    tests: list[JsonValue] = [_assertion(called, *pair) for pair in pairs]
    return told | {"tests": tests, "entry_points": [_CLASS if in_class else name]}


def _is_functional(case: JsonValue) -> bool:
    return isinstance(case, dict) and case.get("testtype") == "functional"


def _named(found: Mapping[str, JsonValue]) -> str:
    said = from_json(found.get("metadata"))
    name = said.get("func_name") if isinstance(said, dict) else None
    if not isinstance(name, str):
        raise RowError("metadata", f"must have func_name, the function's name, not {shown(said)}")
    return name


def _from_lists(given: Mapping[str, JsonValue], field: str) -> list[tuple[list[JsonValue], str]]:
    inputs, outputs = given.get("inputs"), given.get("outputs")
    if not isinstance(inputs, list) or not isinstance(outputs, list) or not inputs:
        raise RowError(field, f"must have inputs and outputs, lists, not {shown(dict(given))}")
    if len(inputs) != len(outputs):
        raise RowError(field, f"has {len(inputs)} inputs and {len(outputs)} outputs")
    for arguments in inputs:
        if not isinstance(arguments, list):
            raise RowError(field, f"inputs must be lists of arguments, not {shown(arguments)}")
    return [
        (cast("list[JsonValue]", arguments), f"in {_either(output)!r}")
        for arguments, output in zip(inputs, outputs, strict=True)
    ]


def _either(output: JsonValue) -> list[JsonValue]:
    return [output, output[0]] if isinstance(output, list) and output else [output]


def _from_values(case: Mapping[str, JsonValue]) -> tuple[list[JsonValue], str]:
    arguments = from_json(case.get("input"))
    listed: list[JsonValue] = arguments if isinstance(arguments, list) else [arguments]
    return listed, f"in {_either(from_json(case.get('output')))!r}"


def _from_texts(case: Mapping[str, JsonValue]) -> tuple[list[JsonValue], str]:
    try:
        arguments = [read_json(line) for line in str(case.get("input", "")).splitlines() if line]
        return arguments, f"== {read_json(str(case.get('output')))!r}"
    except NotJsonError as error:
        raise RowError(
            "cases", f"of a function must be JSON, a line an argument: {error}"
        ) from None


def _assertion(called: str, arguments: list[JsonValue], wanted: str) -> str:
    """That what comes of a call, tuples as lists, is what JSON says."""
    given = ", ".join(map(repr, arguments))
    return (
        "def listed(of):\n"
        "    return [listed(each) for each in of] if isinstance(of, list | tuple) else of\n"
        f"assert listed({called}({given})) {wanted}\n"
    )


def _starter(solution: str, name: str) -> str:
    """The lines down to the function's own, as a solution has them; nothing where it has none."""
    with suppress(SyntaxError, ValueError):
        for node in ast.parse(solution).body:
            if isinstance(node, ast.ClassDef) and node.name == _CLASS:
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name == name:
                        return f"class {_CLASS}:\n    def {name}({ast.unparse(method.args)}):"
    return ""
