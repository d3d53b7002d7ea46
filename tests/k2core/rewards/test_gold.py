"""Every verifier gives its gold answer 1 and each near miss 0."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import reasoning_gym

from k2core.environments import open_environment
from k2core.rewards import VERIFIERS, Outcome, verify
from k2core.sandbox import Sandbox
from schemas.chat import Message, Problem, ToolCall

LEDGER = {
    "data": {"Ann": 9, "Bob": 1},
    "tools": {
        "move": {"operation": "move", "arguments": ["giver", "taker", "amount"], "busy_rate": 0.9},
        "balance": {"operation": "read_balance", "arguments": ["owner"]},
    },
}
SMALL: dict[str, str | int] = {"giver": "Ann", "taker": "Bob", "amount": 3}
MOVE: dict[str, object] = {"name": "move", "arguments": SMALL}
ASK: dict[str, object] = {"name": "balance", "arguments": {"owner": "Bob"}}
CALL = ToolCall(id="functions.balance:0", name="balance", arguments="{}")
CALLED = (
    Message(role="assistant", tool_calls=(CALL,)),
    Message(role="assistant", content="I have no tool for that."),
)
SCENARIO = {"state": {"x": 1}, "answers": ["3"], "must_call": [], "must_not_call": []}
PUZZLES = """
    basic_arithmetic binary_matrix countdown knights_knaves leg_counting mini_sudoku n_queens
    number_sorting polynomial_multiplication prime_factorization puzzle24 self_reference
    simple_equations simple_integration spiral_matrix string_insertion syllogism tower_of_hanoi
    word_sorting
"""


class Case(NamedTuple):
    """Texts of final messages: right, wrong; or whole outcomes."""

    expected: dict[str, Any]
    right: tuple[Any, ...]
    wrong: tuple[Any, ...]


def ended(text: str, **state: Any) -> Outcome:
    return Outcome((Message(role="assistant", content=text),), state)


def asked(arguments: str) -> Outcome:
    """A dialogue that ends with this call of `balance`, after what was asked."""
    call = CALL.model_copy(update={"arguments": arguments})
    question = Message(role="user", content="?")
    return Outcome((question, Message(role="assistant", tool_calls=(call,))))


def played(*calls: dict[str, Any], faults: bool = False) -> Outcome:
    """A dialogue that makes these calls, again where a tool is busy, and says that it is done."""
    session = open_environment(posed("tool_calls", {}))
    messages = []
    for number, call in enumerate(calls):
        content = '{"error":"busy"}'
        while "busy" in content:
            content = session.call(call["name"], call["arguments"])
            identity = f"functions.{call['name']}:{number}"
            answer = Message(role="tool", content=content, tool_call_id=identity, name=call["name"])
            messages.append(answer)
    return Outcome((*messages, Message(role="assistant", content="Done.")), session.state)


def posed(verifier: str, expected: dict[str, Any]) -> Problem:
    return Problem(
        problem_id="family/train/1",
        family="family",
        group="general",
        messages=(Message(role="user", content="?"),),
        environment="ledger",
        state=LEDGER,
        verifier=verifier,
        expected=expected,
    )


CASES: dict[str, list[Case]] = {
    "integer_answer": [
        Case({"answer": -12}, ("-12", "is **-12**."), ("12", "-1.2", "-12 or 3")),
        Case(
            {"answer": 42},
            ("=> 42", "<b>42</b>"),
            ("\u226542", "x > 42", "x <= 42", "isn\u2019t 42"),
        ),
    ],
    "text_answer": [
        Case(
            {"answer": "Paris"},
            (
                "Paris",
                " Paris\n",
                "<answer>Paris</answer>",
                r"So \boxed{Paris}.",
                "\u00abParis\u00bb",
            ),
            ("Paris, Rome", "paris", "", "<answer>Rome</answer> Paris", r"Paris \boxed{}"),
        )
    ],
    "choice": [
        Case(
            {"answer": "B", "choices": ["Rome", "Paris"]},
            (
                "B",
                "(B)",
                "b.",
                "B) Paris",
                "Paris.",
                "The answer is **B**.",
                r"$\boxed{\text{(B)}}$",
            ),
            ("A", "A or B", "Rome", "not B", "Because", "B or C", "<answer>A</answer> B", ""),
        ),
        Case(
            {"answer": "B", "choices": ["Rome", "Paris"]},
            (
                *("Option B", "I choose B", "So, B.", "B is correct.", "It must be B", "\uff22"),
                *("Answer:\nB", '{"answer": "B"}', "\u7b54\u6848\uff1aB", 'The answer is "B"'),
                "The answer is B. Its answer is plain.",
            ),
            ("B?", "(B)?", "The answer is B. The answer is A.", "I choose A or B", "B is wrong"),
        ),
    ],
    "function_calls": [
        Case(
            {"calls": [ASK]},
            (asked('{"owner":  "Bob"}'),),
            (asked("{}"), asked("["), asked("1"), "x"),
        ),
        Case({"calls": []}, ("None fits.",), (asked("{}"),)),
    ],
    "final_state": [
        Case(
            {"state": {"x": 1}, "answer": 7},
            (ended("7", x=1, y=2),),
            (ended("7", x=True), ended("7"), ended("8", x=1)),
        )
    ],
    "rubric": [
        Case(
            {"context": "advice"},
            ("Wait a week, and ask again.", "It depends on the weather."),
            (
                "What a great question! Wait.",
                "Wait. This is the best answer.",
                "A",
                "",
                "Wait. " * 9,
            ),
        )
    ],
    "scenario": [
        Case(SCENARIO, (ended("It is 3.", x=1),), (ended("It is 3.", x=2), ended("It is 4.", x=2)))
    ],
    "expression": [
        Case(
            {"answer": r"\frac{1}{2}"},
            ("0.5", "It is $1/2$.", r"So \boxed{\frac{2}{4}}", r"\(\frac{1}{2}\)", "x = 1/2"),
            ("2", "0.05", r"\boxed{\frac{2}{3}}", "$1/2$ or $2$", "one half", "", "$-1/2$"),
        ),
        Case(
            {"answer": "x^2+2x+1"},
            ("$(x+1)^2$", "$1+x(x+2)$"),
            ("$(x+1)^3$", "$x^2+2x-1$", "$y^2+2y+1$", "4"),
        ),
        Case({"answer": r"\{1,2\}"}, (r"$\{2,1\}$",), (r"$\{1,3\}$", "$(2,3)$", "1")),
        Case({"answer": "(1,2)"}, ("$(1, 2)$",), ("$(2,1)$", "$(1,2,3)$")),
        Case(
            {"answer": "1.5"},
            ("\uff11\uff0e\uff15", "\uff13\uff0f\uff12"),
            ("\uff11\uff15", "\uff15\uff0e\uff11"),
        ),
        Case({"answer": "5"}, ("$2+3$",), (r"$10^{10^{10^{10}}}$", "$__import__('os')$")),
    ],
    "python_function": [
        Case(
            {"tests": ["assert f(2) == 4", "assert f(3) == 9"], "entry_points": ["f"]},
            ("def f(x):\n    return x * x", "```python\nf = lambda x: x ** 2\n```"),
            ("def f(x):\n    return x + x", "def f(x):\n    print(x * x)", "", "def g(x): ..."),
        )
    ],
    "program": [
        Case(
            {"cases": [{"stdin": "2", "stdout": "4"}, {"stdin": "3", "stdout": "9"}]},
            ("x = int(input())\nprint(x * x)",),
            ("print(4)", "x = int(input())\nprint(x + x)", "print(", ""),
        ),
        Case(
            {"cases": [{"stdin": "2 3", "stdout": "5"}], "language": "bash"},
            ("```bash\nread a b\necho $((a + b))\n```",),
            ("read a b\necho $a$b", "exit 5"),
        ),
    ],
    "tool_calls": [
        Case(
            {"calls": [MOVE, ASK]},
            (played(MOVE, ASK), played(ASK, MOVE, ASK), played({**ASK}, MOVE, {**ASK})),
            (
                played(MOVE),
                played(ASK),
                played(MOVE, MOVE, ASK),
                played(ASK, MOVE),
                played({**MOVE, "arguments": {**SMALL, "amount": 4}}, ASK),
            ),
        )
    ],
    "instruction": [
        Case({"kind": "words", "count": 3, "relation": "exactly"}, ("a b c",), ("a b", "a b c d")),
        Case({"kind": "no_commas"}, ("Yes.",), ("Yes, sir.", "")),
    ],
    "declined": [
        Case(
            {},
            ("I have no tool for that.", "I can't look that up.", "There isn't a tool for it."),
            ("I do not know.", "", "No tool says so, but it is 12.", "I cannot; forty two", "Yes."),
        ),
        Case({}, (), (Outcome(CALLED),)),
    ],
    "own_code": [
        Case(
            {
                "code": {
                    "named": "r.py:score",
                    "text": "def score(response, answer):\n    return response == answer",
                },
                "seconds": 5,
                "row": {"answer": "Paris"},
            },
            ("Paris",),
            ("paris", ""),
        )
    ],
}


def puzzle(name: str) -> Case:
    data = reasoning_gym.create_dataset(name, size=12, seed=1)
    entry = json.loads(json.dumps(data[0], default=str))
    other = next(d["answer"] for d in data if d["answer"] != data[0]["answer"])
    peek = "__import__('sys')._getframe(1).f_locals['entry']['answer']"
    return Case(
        {"dataset": name, "entry": entry},
        (entry["answer"],),
        (other, "", "?", peek, f"exec({peek!r})"),
    )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


def check(name: str, case: Case, sandbox: Sandbox) -> None:
    problem = posed(name, case.expected)
    for answer in case.right:
        given = answer if isinstance(answer, Outcome) else ended(answer)
        assert verify(problem, given, sandbox) == (1.0, ""), answer
    for answer in case.wrong:
        given = answer if isinstance(answer, Outcome) else ended(answer)
        verdict = verify(problem, given, sandbox)
        assert verdict.reward < 1.0, answer
        assert verdict.reason, answer
        assert verdict.reward == 0.0 or name == "scenario", answer


def test_every_verifier_has_its_cases() -> None:
    assert set(CASES) | {"puzzle", "own_environment"} == set(VERIFIERS)


@pytest.mark.parametrize("name", CASES)
def test_gold_scores_one_and_near_misses_nothing(name: str, sandbox: Sandbox) -> None:
    for case in CASES[name]:
        check(name, case, sandbox)


@pytest.mark.parametrize("name", PUZZLES.split())
def test_puzzles_by_their_own_scorers(name: str, sandbox: Sandbox) -> None:
    check("puzzle", puzzle(name), sandbox)


def test_a_scorer_that_cannot_tell_is_refused(sandbox: Sandbox) -> None:
    entry = {"answer": "False", "metadata": {}}
    problem = posed("puzzle", {"dataset": "game_of_life_halting", "entry": entry})
    with pytest.raises(ValueError, match="does not tell the expected answer from nonsense"):
        verify(problem, ended("False"), sandbox)


def test_an_expected_answer_that_is_no_mathematics_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="does not tell the expected answer from nonsense"):
        verify(posed("expression", {"answer": ""}), ended("3"), sandbox)


def test_a_gold_call_that_fails_is_refused() -> None:
    wrong = {**MOVE, "arguments": {**SMALL, "amount": 99}}
    with pytest.raises(ValueError, match=r"gold call move fails: .*Ann has only 9"):
        verify(posed("tool_calls", {"calls": [wrong]}), ended("Done."))
