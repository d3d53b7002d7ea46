"""Verifiers accept what is right, reject what is wrong, and refuse what they cannot judge."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.rewards import OVER_BUDGET, VERIFIERS, Outcome, extract_code, verify
from k2core.sandbox import Sandbox
from schemas.chat import Message, Problem


def problem(verifier: str, **expected: Any) -> Problem:
    return Problem(
        problem_id="family/train/1",
        family="family",
        group="general",
        messages=(Message(role="user", content="?"),),
        verifier=verifier,
        expected=expected,
    )


def outcome(text: str, state: dict[str, Any] | None = None) -> Outcome:
    return Outcome((Message(role="assistant", content=text),), state or {})


def reward(verifier: str, expected: dict[str, Any], text: str, **state: Any) -> float:
    return verify(problem(verifier, **expected), outcome(text, state)).reward


@given(st.integers())
def test_integer_gold(answer: int) -> None:
    assert reward("integer_answer", {"answer": answer}, f"The sum of 2 and 3 is {answer}.") == 1.0
    assert reward("integer_answer", {"answer": answer}, str(answer + 1)) == 0.0


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("37", True),
        ("2 + 35 = 37", True),
        ("is **37**!", True),
        ("037", True),
        ("-37", False),
        ("37 then 38", False),
        ("137", False),
        ("37.5", False),
        ("x37", False),
        ("", False),
        ("40-37", True),
        ("9" * 5000, False),
    ],
)
def test_integer_forms(text: str, right: bool) -> None:
    assert reward("integer_answer", {"answer": 37}, text) == float(right)


def test_text() -> None:
    assert reward("text_answer", {"answer": "Paris"}, " Paris\n") == 1.0
    assert reward("text_answer", {"answer": "Paris"}, "paris") == 0.0


def test_state_is_a_subset() -> None:
    expected = {"state": {"cart": {"apple": 2}, "paid": True}}
    right = {"cart": {"apple": 2, "pear": 1}, "paid": True, "log": []}
    assert reward("final_state", expected, "Done.", **right) == 1.0
    assert reward("final_state", expected, "Done.", **{**right, "paid": 1}) == 0.0
    assert reward("final_state", expected, "Done.", cart={}, paid=True) == 0.0


def test_state_and_answer() -> None:
    expected = {"state": {"x": 1}, "answer": 7}
    assert reward("final_state", expected, "It is 7.", x=1) == 1.0
    assert reward("final_state", expected, "It is 8.", x=1) == 0.0
    assert reward("final_state", {"state": {"x": 1}, "answer": "seven"}, "seven", x=1) == 1.0


@pytest.mark.parametrize(
    ("expected", "right", "wrong"),
    [
        ({"kind": "num_words", "count": 3}, "one two three", "one two"),
        ({"kind": "num_lines", "count": 2}, "a\nb", "a b"),
        ({"kind": "uppercase"}, "HELLO", "Hello"),
        ({"kind": "lowercase"}, "hello", "Hello"),
        ({"kind": "starts_with", "text": "So"}, "So it is", "It is so"),
        ({"kind": "ends_with", "text": "."}, "Yes.", "Yes"),
        ({"kind": "contains", "text": "red"}, "a red fox", "a fox"),
        ({"kind": "contains_times", "text": "red", "count": 2}, "red and red", "red"),
        ({"kind": "lacks", "text": "e"}, "aiou", "aeiou"),
        ({"kind": "equals", "text": "yes"}, "yes", "yes!"),
        ({"kind": "json_keys", "keys": ["a", "b"]}, '{"a": 1, "b": 2}', '{"a": 1}'),
        ({"kind": "numbered", "count": 2}, "1. a\n2. b", "1. a\n3. b"),
        (
            {
                "kind": "all_of",
                "checks": [{"kind": "uppercase"}, {"kind": "num_words", "count": 1}],
            },
            "HELLO",
            "HELLO YOU",
        ),
    ],
)
def test_instruction(expected: dict[str, Any], right: str, wrong: str) -> None:
    assert reward("instruction", expected, right) == 1.0
    assert reward("instruction", expected, wrong) == 0.0
    assert reward("instruction", expected, "") == 0.0


def test_function_runs_in_the_sandbox() -> None:
    asked = problem("python_function", tests=["assert add(1, 2) == 3"], entry_points=["add"])
    with Sandbox.start() as sandbox:
        good = outcome("Here:\n```python\ndef add(a, b):\n    return a + b\n```")
        assert verify(asked, good, sandbox) == (1.0, "")
        bad = verify(asked, outcome("def add(a, b):\n    return a"), sandbox)
        assert (bad.reward, bad.reason) == (0.0, "tests: AssertionError: ")
    with pytest.raises(ValueError, match="needs a sandbox"):
        verify(asked, good, None)


def test_a_failing_sandbox_is_faulty_and_not_a_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = problem("python_function", tests=["assert f()"], entry_points=["f"])
    with Sandbox.start() as sandbox:
        sandbox._zygotes[""].close()
        monkeypatch.setattr("k2core.sandbox.tiers._BWRAP", "/nonexistent/bwrap")
        monkeypatch.setattr("k2core.sandbox.tiers._PYTHON", "/nonexistent/python3")
        assert verify(asked, outcome("def f():\n    return True"), sandbox).is_faulty


@pytest.mark.parametrize("name", sorted(VERIFIERS))
def test_over_budget_earns_nothing(name: str) -> None:
    cut = Outcome((Message(role="assistant", content="37"),), {}, over_budget=True)
    assert verify(problem(name, answer=37), cut) == (0.0, OVER_BUDGET)


def test_a_dialogue_that_ends_with_a_tool_has_no_answer() -> None:
    ended = Outcome((Message(role="tool", content="37", tool_call_id="functions.f:0"),))
    assert verify(problem("integer_answer", answer=37), ended).reason == "no_answer"


def test_errors_name_problem_and_field() -> None:
    with pytest.raises(ValueError, match=r"family/train/1: unknown verifier 'magic'; known:"):
        verify(problem("magic"), outcome("x"))
    with pytest.raises(ValueError, match=r"family/train/1: .*lacks 'answer'"):
        verify(problem("integer_answer"), outcome("3"))
    with pytest.raises(ValueError, match="lacks 'count'"):
        verify(problem("instruction", kind="num_words"), outcome("3"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = 1", "x = 1"),
        ("```python\na\n```\nor\n```py\nb\n```", "b\n"),
        ("```\na\n```\nor\n```\nb\n```", "b\n"),
        ("```python\na\n```\nIt prints:\n```\n6\n```", "a\n"),
        ("```python\na\n```\nRun:\n```bash\npython a.py\n```", "a\n"),
        ("```\na\n```\n```text\n6\n```", "a\n"),
        ('``` Python title="a.py"\na\n```', "a\n"),
        ("```python\r\na\r\n```", "a\r\n"),
        ("1. So:\n   ```python\n   if a:\n     b\n   ```", "if a:\n  b\n"),
        ("~~~python\na\n~~~", "a\n"),
        ("````python\na\n````", "a\n"),
        ("```python\na", "a"),
        ("```python\na```", "a"),
        ("```python\na\n```\nand ```", "a\n"),
        ("```python\ndef f(): ...\n```\nTest:\n```python\nf()\n```", "def f(): ...\n"),
        ("```python\nf = 1\n```\n```python\ndef f(): ...\n```", "def f(): ...\n"),
        ("```", "```"),
    ],
)
def test_code_is_the_last_block_of_its_language(text: str, code: str) -> None:
    assert extract_code(text, names=["f"]) == code


def test_a_shell_script_is_no_python() -> None:
    text = "```python\na\n```\n```sh\nb\n```"
    assert extract_code(text, "bash") == "b\n"
