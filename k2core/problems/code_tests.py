"""Hidden tests of code as data sets write them: pairs of input and output, and assertions.

- Pairs: `[{"stdin": ..., "stdout": ...}]`, `[{"input": ..., "output": ...}]` (LiveCodeBench,
  Codeforces), `{"inputs": [...], "outputs": [...]}` (APPS, TACO, verl), `{"input": [...], "output":
  [...]}` (CodeContests), or any of these as JSON in a text, plain or packed (`packed`).
- Assertions: `["assert f(1) == 2"]` (MBPP), a text with a `check(candidate)` (HumanEval), or with
  functions and classes as pytest and unittest collect them (KodCode, BigCodeBench).
"""

import ast
import builtins
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from pydantic import JsonValue

from k2core.problems.declared import from_json
from k2core.problems.faults import RowError, shown
from k2core.problems.packed import unpacked
from k2core.problems.unit_tests import call_definitions, imported_names

_PAIRS = (("stdin", "stdout"), ("input", "output"), ("inputs", "outputs"))
_NAMED = frozenset(dir(builtins))


def read_cases(given: JsonValue) -> list[JsonValue]:
    """`[{"stdin": ..., "stdout": ...}]`.

    Raises:
        RowError: it is no list of pairs.
    """
    given = unpacked(given)
    if isinstance(given, dict):
        given = _zipped(given)
    if not isinstance(given, list) or not given:
        raise RowError("cases", f"must be a list of stdin with stdout, not {shown(given)}")
    return [_pair(case) for case in given]


def read_tests(row: dict[str, JsonValue], prompt: str) -> dict[str, JsonValue]:
    """`tests`, `entry_points`, `setup` and `solution` of a row of assertions.

    Args:
        row: its fields.
        prompt: what is asked; where it is the beginning of a program, its imports and helpers are
            there for solutions and tests.

    Raises:
        RowError: the tests are no Python, or name no function to be tested.
    """
    given, setup = from_json(row["tests"]), _lines(row.get("setup"))
    solution = read_solution(row["solution"], prompt) if "solution" in row else None
    tests = [given] if isinstance(given, str) else given
    if not isinstance(tests, list) or not all(isinstance(test, str) for test in tests) or not tests:
        raise RowError("tests", f"must be a list of at least one text, not {shown(given)}")
    texts = [str(test) for test in tests]
    stated = row.get("entry_points")
    names: list[JsonValue] = stated if isinstance(stated, list) else []
    if stated is None:
        names = [*find_entry_points(texts, str(solution or ""), setup)]
    elif isinstance(stated, str):
        names = [stated]
    if not names:
        raise RowError("entry_points", "state the names of the functions that the tests call")
    if len(texts) == 1 and "def check(" in texts[0] and f"check({names[0]})" not in texts[0]:
        texts = [f"{texts[0]}\ncheck({names[0]})\n"]
    names = [str(name).partition("(")[0] for name in names]  # of `Solution().solve` the class
    with suppress(SyntaxError, ValueError):
        texts = list(map(call_definitions, texts))
    setup = "\n".join(part for part in (setup, _before(prompt, str(names[0]))) if part)
    # Each test has names of its own, so that it begins with what it needs.
    texts = [f"{setup}\n{text}" if setup else text for text in texts]
    found: dict[str, JsonValue] = {"tests": cast("JsonValue", texts), "entry_points": names}
    found |= {"setup": setup} if setup else {}
    return found | ({} if solution is None else {"solution": solution})


def read_solution(given: JsonValue, prompt: str) -> str | None:
    """A right program: the first of several, and after the prompt that it completes."""
    given = from_json(given)
    if isinstance(given, list):
        given = given[0] if given else None
    if not isinstance(given, str):
        return None
    whole = f"{prompt}{given}"
    body_only = ("def " in prompt and not _parses(given)) or given.startswith((" ", "	"))
    return whole if body_only and _parses(whole) else given


def find_entry_points(tests: Sequence[str], solution: str, setup: str) -> list[str]:
    """Functions that tests call and nobody has defined but the solution."""
    called: dict[str, None] = {}
    known = set(_NAMED)
    try:
        if imported := imported_names(tests):
            return list(dict.fromkeys(imported))
        trees = [ast.parse(text) for text in (*tests, setup)]
        defined = {getattr(node, "name", "") for node in ast.parse(solution).body}
    except (SyntaxError, ValueError) as error:
        raise RowError("tests", f"are no Python: {error}") from None
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                known |= {(a.asname or a.name).partition(".")[0] for a in node.names}
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                known.add(node.name)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                called[node.func.id] = None
    found = [name for name in called if name not in known]
    return [name for name in found if name in defined] or found


def signature(solution: str, entry_point: str) -> str:
    """`def f(a, b)` as a solution has it; the name alone where it has none."""
    with suppress(SyntaxError, ValueError):
        for node in ast.parse(solution).body:
            if isinstance(node, ast.FunctionDef) and node.name == entry_point:
                return f"def {entry_point}({ast.unparse(node.args)})"
    return entry_point


def _before(prompt: str, entry_point: str) -> str:
    """Imports and helpers of a prompt that is the beginning of a program."""
    start = prompt.rfind(f"def {entry_point}(")
    before = prompt[:start].strip() if start > 0 else ""
    return f"{before}\n" if before and _parses(before) else ""


def _zipped(given: dict[str, JsonValue]) -> JsonValue:
    for into, out in _PAIRS:
        said, wanted = given.get(into), given.get(out)
        if isinstance(said, list) and isinstance(wanted, list):
            if len(said) != len(wanted):
                raise RowError("cases", f"has {len(said)} {into} and {len(wanted)} {out}")
            return [{"stdin": a, "stdout": b} for a, b in zip(said, wanted, strict=True)]
    return cast("JsonValue", [given])


def _pair(case: JsonValue) -> JsonValue:
    if isinstance(case, dict):
        for into, out in _PAIRS:
            if into in case and out in case:
                return {"stdin": _lines(case[into]), "stdout": _lines(case[out])}
    raise RowError("cases", f"must have stdin and stdout, not {shown(case)}")


def _lines(given: JsonValue) -> str:
    if isinstance(given, list):
        return "\n".join(map(str, given))
    return "" if given is None else str(given)


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True
