"""Gold in twenty spellings is paid; what is no answer is a failure, and never an exception."""

from collections.abc import Iterator

import pytest
from pydantic import JsonValue

from k2core.rewards import verify
from k2core.rewards.instructions import follows
from k2core.sandbox import Sandbox
from schemas.chat import Message
from tests.k2core.rewards.test_adversaries import pose, say


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


NUMBER_SPELLINGS = """
1234|1,234|1 234|1\u202f234|1'234|01234|1234.|1234.0|1,234.00|+1234|**1234**|$1234$|`1234`|(1234)
|the answer is 1234|= 1234|1,200 + 34 = 1,234|It is 1,234!|\uff11\uff12\uff13\uff14|1.234,00
""".replace("\n", "").split("|")
TEXT_SPELLINGS = (
    *(
        "amber stone",
        " amber stone",
        "amber stone\n",
        "amber  stone",
        "amber\u00a0stone",
        "\tamber stone",
    ),
    *("amber stone.", "**amber stone**", "*amber stone*", "`amber stone`", '"amber stone"'),
    *(
        "'amber stone'",
        "\u201camber stone\u201d",
        "**amber stone.**",
        '"amber stone."',
        "amber\tstone",
    ),
    *("**amber stone**.", "**`amber stone`**", "amber\nstone", " amber stone. "),
)
SCENARIO_SPELLINGS = (
    *("It is 1234.", "1234", "1,234", "The total is 1,234.00.", "**1234**", "That makes 1'234!"),
    *("It is $1234.", "It comes to 1 234.", "Order order_3 has a total of 1234.", "1234 it is."),
    *("Total: 1,234", "You pay 1234 for it.", "It's 1234", "The answer: `1234`", "(1234)"),
    *("\uff11\uff12\uff13\uff14", "1234.0", "So 1200 + 34 = 1234.", "Done: 1234.", "= 1234"),
)
SUM_SPELLINGS = (
    *(
        "8*(1+1+1)",
        "(1+1+1)*8",
        "8 * (1 + 1 + 1)",
        "8\u00d7(1+1+1)",
        "8\u00b7(1+1+1)",
        " 8*(1+1+1)\n",
    ),
    *("`8*(1+1+1)`", "**8*(1+1+1)**", "$8*(1+1+1)$", "(8*(1+1+1))", "((1+1)+1)*8", "8*(1+(1+1))"),
    *("(1+(1+1))*8", "((8))*(1+1+1)", "8 *(1+1 +1)", "8*((1+1)+1)", "((1)+(1)+(1))*8"),
    *("8*\n(1+1+1)", "(1+1+1) \u00d7 8", "8*( 1+1+1 )"),
)
EXPRESSION_SPELLINGS = (
    *("0.5", ".5", "1/2", "$1/2$", r"\boxed{1/2}", r"\boxed{\frac{1}{2}}", r"\boxed{\frac12}"),
    *(r"\boxed{0.5}", r"$\frac{1}{2}$", r"\(\frac{1}{2}\)", r"\[\frac{1}{2}\]", "x = 1/2"),
    *(r"\boxed{x = \frac{1}{2}}", r"The answer is $\frac{2}{4}$.", r"\boxed{\dfrac{1}{2}}"),
    *(
        r"$x=0.5$",
        r"\boxed{0.50}",
        r"\boxed{2^{-1}}",
        r"$$\frac{1}{2}$$",
        r"so \boxed{1 - \frac{1}{2}}",
    ),
)


@pytest.mark.parametrize("text", NUMBER_SPELLINGS)
def test_a_number_in_twenty_spellings(text: str) -> None:
    assert verify(pose("integer_answer", {"answer": 1234}), say(text)).reward == 1.0
    state: dict[str, JsonValue] = {"state": {}, "answer": 1234}
    assert verify(pose("final_state", state), say(text)).reward == 1.0


@pytest.mark.parametrize("text", TEXT_SPELLINGS)
def test_words_in_twenty_spellings(text: str) -> None:
    assert verify(pose("text_answer", {"answer": "amber stone"}), say(text)).reward == 1.0


@pytest.mark.parametrize("text", SCENARIO_SPELLINGS)
def test_a_closing_in_twenty_spellings(text: str) -> None:
    expected: dict[str, JsonValue] = {
        "state": {}, "answers": ["1234"], "must_call": [], "must_not_call": []
    }  # fmt: skip
    assert verify(pose("scenario", expected), say(text)).reward == 1.0


@pytest.mark.parametrize("text", SUM_SPELLINGS)
def test_a_sum_in_twenty_spellings(text: str) -> None:
    entry: JsonValue = {"answer": "8*(1+1+1)", "metadata": {"numbers": [1, 1, 1, 8]}}
    problem = pose("puzzle", {"dataset": "puzzle24", "entry": entry})
    assert verify(problem, say(text)).reward == 1.0


def test_an_expression_in_twenty_spellings(sandbox: Sandbox) -> None:
    problem = pose("expression", {"answer": r"\frac{1}{2}"})
    lost = [t for t in EXPRESSION_SPELLINGS if verify(problem, say(t), sandbox).reward < 1.0]
    assert lost == []


def test_spellings_are_twenty() -> None:
    tables = (
        NUMBER_SPELLINGS, TEXT_SPELLINGS, SCENARIO_SPELLINGS, SUM_SPELLINGS, EXPRESSION_SPELLINGS
    )  # fmt: skip
    assert [len(set(table)) for table in tables] == [20] * 5


@pytest.mark.parametrize("result", ["[1]", "plain text", "", "[" * 5000, '"a"', "{", "null"])
def test_a_result_that_is_no_object_is_no_success_and_no_end(result: str) -> None:
    expected: dict[str, JsonValue] = {
        "state": {}, "answers": [None], "must_call": ["f"], "must_not_call": []
    }  # fmt: skip
    told = Message(role="tool", name="f", content=result)
    verdict = verify(pose("scenario", expected), say("Done.", told))
    assert verdict.reason == "did not call f"


def test_a_value_that_the_user_named_is_no_other_answer() -> None:
    expected: dict[str, JsonValue] = {
        "state": {}, "answers": ["111"], "must_call": [], "must_not_call": []
    }  # fmt: skip
    asked = Message(role="user", content="What does order 12 cost?")
    told = say("It is 111 for order 12.", asked)
    assert verify(pose("scenario", expected), told).reward == 1.0
    assert follows({"kind": "one_of", "options": ["yes", "no"]}, "Yes!")
