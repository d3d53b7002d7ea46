"""`k2 problems check` says what would be read, and what should be mended."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.recipe import Recipe
from workflows.cli import app
from workflows.overrides import change


def run(*arguments: str) -> tuple[int, str]:
    shown = CliRunner().invoke(app, ["problems", "check", *arguments], env={"COLUMNS": "200"})
    return shown.exit_code, shown.output


def write(path: Path, count: int, *more: str) -> Path:
    rows = [json.dumps({"prompt": f"What is {n} + 1?", "answer": n + 1}) for n in range(count)]
    path.write_text("\n".join([*rows, *more]))
    return path


def test_a_sound_file_ends_with_the_setting_that_trains_on_it(tmp_path: Path) -> None:
    path = write(tmp_path / "my sums.jsonl", 30)
    code, said = run(str(path), "--verifier", "integer_answer", "--show", "1")
    assert code == 0
    assert "my_sums: 30 rows, 30 problems (" in said
    assert said.count("<|im_user|>user<|im_middle|>What is ") == 1
    assert "it passes 30 right answers and refuses 30 wrong ones" in said
    last = said.strip().splitlines()[-1]
    flag, setting = shlex.split(last.partition(": ")[2])
    source = change(Recipe(), [setting]).problems.sources.files[0]
    assert (flag, source.name, source.path) == ("--set", "my_sums", str(path))
    assert source.verifier == "integer_answer"


def test_a_function_that_fails_is_told_by_row(tmp_path: Path) -> None:
    path = write(tmp_path / "sums.jsonl", 5)
    rewards = tmp_path / "rewards.py"
    rewards.write_text("def score(response, answer): return str(answer) in response or 1 / 0")
    code, said = run(str(path), "--verifier", f"{rewards}:score", "--show", "0")
    assert code == 1
    assert "it passes 5 right answers and refuses 0 wrong ones" in said
    assert "the verifier: 5" in said
    assert "it says: faulty environment: rewards.py:score: ZeroDivisionError" in said
    setting = shlex.split(said.strip().splitlines()[-1].partition(": ")[2])[1]
    assert change(Recipe(), [setting]).problems.sources.files[0].code is not None


def test_the_same_is_told_to_programs(tmp_path: Path) -> None:
    path = write(tmp_path / "sums.jsonl", 2, *["{"] * 12)
    asked = ["problems", "check", str(path), "--verifier", "integer_answer", "--json"]
    shown = CliRunner().invoke(app, asked)
    found = json.loads(shown.stdout)
    assert (shown.exit_code, found["rows"], len(found["left_out"])) == (1, 14, 12)
    assert found["verifier"] == {
        "problems": 2,
        "right_passed": 2,
        "wrong_refused": 2,
        "doubts": [],
    }
    assert (len(found["shown"]), found["sound"]) == (2, False)
    assert change(Recipe(), [found["setting"]]).problems.sources.files[0].name == "sums"


def test_unusable_rows_are_listed(tmp_path: Path) -> None:
    path = write(tmp_path / "sums.jsonl", 2, *["{"] * 12)
    code, said = run(str(path), "--verifier", "integer_answer")
    assert code == 1
    assert "row 3: row: is no JSON" in said
    assert "left out: 12" in said
    assert "and 2 more (--all)" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["s3+http://x/q.jsonl"], "cannot be read"),
        (["chess"], "reasoning-gym has no 'chess'"),
    ],
)
def test_what_is_not_there_is_said(arguments: list[str], words: str) -> None:
    code, said = run(*arguments)
    assert code == 2
    assert words in said


def test_a_generator_is_checked_like_a_file() -> None:
    code, said = run("count_bits", "--show", "0")
    assert code == 0
    assert "count_bits: 1000 rows, " in said
    assert (
        """'problems.sources.puzzles=[{"name": "count_bits", "dataset": "count_bits"}]'""" in said
    )


def test_hidden_tests_that_do_not_tell_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "code.jsonl"
    row = {"solution": "def f(x):\n    return x + 1", "entry_points": ["f"]}
    rows = [{"prompt": f"{test}?", "tests": [test], **row} for test in ("f(1)", "assert f(1) == 2")]
    path.write_text("\n".join(map(json.dumps, rows)))
    code, said = run(str(path), "--verifier", "python_function", "--show", "0")
    assert code == 1
    assert "it passes 2 right answers and refuses 2 wrong ones" in said
    assert said.count("a solution that does no work passes them") == 1


def test_problems_for_a_critic_are_looked_at_too(tmp_path: Path) -> None:
    rows = [{"prompt": f"Advise me on {n}.", "context": "advice"} for n in range(20)]
    rows[3]["context"] = 7  # type: ignore[assignment]
    path = tmp_path / "open.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, said = run(str(path), "--verifier", "rubric", "--show", "0")
    assert code == 1
    assert "open: 20 rows, 19 problems" in said
    assert "row 4: expected: " in said
    assert "passes 0 right answers and refuses 19 wrong ones" in said


@pytest.mark.parametrize(
    ("name", "lines", "words"),
    [
        ("a.jsonl", [""], "a run would stop: there are no rows"),
        ("a.jsonl", [" ", "\t"], "a run would stop: there are no rows"),
        ("a.csv", ["prompt,answer"], "a run would stop: there are no rows"),
        ("a.jsonl", ["3"], "a run would stop: no row makes a problem"),
        ("a.jsonl", ['{"prompt": "a"}'], "text_answer: expected lacks 'answer'"),
        ("a.jsonl", ['{"prompt": "a", "answer": 1}', "{"], "1 of 2 rows are left out, more than"),
        ("a.csv", ["prompt,prompt", "a,b"], "has the names ['prompt'] twice"),
        ("a.zip", ["PK\0\0"], "is not JSON, CSV or parquet: it is binary"),
        (
            "a.jsonl",
            ['{"prompt": "a", "answer": 1}', '{"prompt": "A ", "answer": 2}'],
            "row 2: prompt: asks what row 1 asks, and expects another answer",
        ),
        (
            "a.jsonl",
            [f'{{"prompt": "a", "answer": 1, "split": "{split}"}}' for split in ("train", "test")],
            "which is in train: a question cannot be in held_out as well",
        ),
    ],
)
def test_what_nobody_could_train_on_says_why(
    tmp_path: Path, name: str, lines: list[str], words: str
) -> None:
    path = tmp_path / name
    path.write_text("\n".join(lines))
    code, said = run(str(path), "--show", "0")
    assert code in (1, 2)
    assert words in said
    assert "to train on it" not in said


def test_answers_that_their_own_verifier_refuses_are_told_by_row(tmp_path: Path) -> None:
    golds = ["7", r"\\sqrt{", "%", "12 o'clock", "$", r"\\frac{3}{4}"]
    lines = [f'{{"prompt": "{n}?", "answer": "{gold}"}}' for n, gold in enumerate(golds)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines))
    code, said = run(str(path), "--verifier", "expression", "--show", "0")
    assert code == 1
    assert "passes 2 right answers" in said
    assert sorted(re.findall(r"^  row (\d)", said, re.MULTILINE)) == ["2", "3", "4", "5"]
