"""Rows of code whose hidden tests cannot be passed, or pass what does no work, are named."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from k2core.problems import ProblemSourceError
from k2core.rewards.telling import check_own_tests
from k2core.sandbox import Sandbox
from schemas.problems import FileSource, ProblemsConfig, Sources

SQUARE = "def f(x):\n    return x * x"
DOUBLE = "print(int(input()) * 2)"
CASES = [{"stdin": "2", "stdout": "4"}, {"stdin": "5", "stdout": "10"}]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


def function(solution: str, *tests: str) -> dict[str, object]:
    return {"solution": solution, "tests": [*tests], "entry_points": ["f"]}


def program(solution: str, cases: list[dict[str, str]], **more: object) -> dict[str, object]:
    return {"verifier": "program", "solution": solution, "cases": cases, **more}


def judge(
    folder: Path, sandbox: Sandbox, rows: list[Mapping[str, object]], faulty: float = 0.0
) -> int:
    path = folder / "code.jsonl"
    asked = [{"prompt": f"{n}?", "id": f"row {n}", **row} for n, row in enumerate(rows)]
    path.write_text("\n".join(map(json.dumps, asked)))
    source = FileSource(
        name="code", path=str(path), verifier="python_function", max_faulty_frac=faulty
    )
    problems = ProblemsConfig(families={}, sources=Sources(files=(source,)))
    return check_own_tests(problems, sandbox)


def test_tests_that_tell_pass(tmp_path: Path, sandbox: Sandbox) -> None:
    rows: list[Mapping[str, object]] = [
        function(SQUARE, "assert f(2) == 4", "assert f(3) == 9"),
        program(DOUBLE, CASES),
        {"tests": ["assert f(2) == 5"], "entry_points": ["f"]},  # no solution, and no stub passes
        {"verifier": "program", "cases": CASES},
        {"verifier": "integer_answer", "answer": 3},
    ]
    assert judge(tmp_path, sandbox, rows) == 4


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (function(SQUARE, "assert f(2) == 5"), "the right solution fails them"),
        (function(SQUARE, "assert f(lambda: 2) == 4"), "the right solution fails them"),
        (function(SQUARE, "f(2)"), "does no work passes them"),
        (function("def g(x):\n    return x", "assert f(2) == 4"), "the right solution fails them"),
        (program("print(4)", CASES), "the right solution fails them"),
        (program("print(4)", CASES[:1]), "does no work passes them"),
        ({"tests": ["f(2)"], "entry_points": ["f"]}, "does no work passes them"),
        ({"tests": ["def check(g):\n    f"], "entry_points": ["f"]}, "does no work passes them"),
        ({"verifier": "program", "cases": [{"stdin": "2", "stdout": ""}]}, "does no work passes"),
        (program("print(input())", [{"stdin": "a", "stdout": "a"}]), "does no work passes them"),
    ],
)
def test_tests_that_do_not_are_named(
    tmp_path: Path, sandbox: Sandbox, row: dict[str, object], said: str
) -> None:
    sound = function(SQUARE, "assert f(2) == 4", "assert f(3) == 9")
    with pytest.raises(ProblemSourceError, match=rf"code.jsonl.*code/\w+/row 1: tests: .*{said}"):
        judge(tmp_path, sandbox, [sound, row])
    assert judge(tmp_path, sandbox, [sound, row], faulty=0.5) == 2


def test_mathematics_that_no_answer_passes_is_named(tmp_path: Path, sandbox: Sandbox) -> None:
    rows: list[Mapping[str, object]] = [
        {"verifier": "expression", "answer": gold} for gold in ("7", r"\frac{1}{2}", r"\sqrt{")
    ]
    with pytest.raises(ProblemSourceError, match=r"1 cannot be judged.*row 3, .* does not pass"):
        judge(tmp_path, sandbox, rows)
    assert judge(tmp_path, sandbox, rows, faulty=0.5) == 3


def test_a_function_that_judges_nothing_stops_before_the_first_iteration(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    (tmp_path / "rewards.py").write_text("def score(wish): return 1.0")
    path = tmp_path / "sums.jsonl"
    path.write_text('{"prompt": "1 + 1?", "answer": 2}')
    source = FileSource(name="sums", path=str(path), verifier=f"{tmp_path}/rewards.py:score")
    problems = ProblemsConfig(families={}, sources=Sources(files=(source,)))
    with pytest.raises(
        ProblemSourceError, match=r"sums: .* none of 2 .*rewards.py:score: .*no 'wish' to pass"
    ):
        check_own_tests(problems, sandbox)
