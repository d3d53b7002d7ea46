"""Gold in twenty spellings is paid; what is no answer is a failure, and never an exception."""

from collections.abc import Iterator

import pytest
from pydantic import JsonValue

from k2core.environments import open_environment
from k2core.rewards import Outcome, verify
from k2core.rewards.instructions import follows
from k2core.sandbox import Sandbox
from schemas.chat import Message
from schemas.outside import read_json
from tests.k2core.rewards.posing import pose, say
from tests.k2core.rewards.test_adversaries import LEDGER


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

MOVE_SPELLINGS = (
    '{"giver": "Ann", "taker": "Bob", "amount": 5}',
    '{"giver":"Ann","taker":"Bob","amount":5}',
    '{"giver":"Ann","amount":5,"taker":"Bob"}',
    '{"taker":"Bob","giver":"Ann","amount":5}',
    '{"taker":"Bob","amount":5,"giver":"Ann"}',
    '{"amount":5,"giver":"Ann","taker":"Bob"}',
    '{"amount":5,"taker":"Bob","giver":"Ann"}',
    '{"giver":"Ann","taker":"Bob","amount":5.0}',
    '{"giver":"Ann","taker":"Bob","amount":5.000}',
    '{"giver":"Ann","taker":"Bob","amount":5e0}',
    '{"giver":"Ann","taker":"Bob","amount":0.5E1}',
    '{"giver":"Ann","taker":"Bob","amount":50e-1}',
    r'{"giver":"\u0041nn","taker":"Bob","amount":5}',
    r'{"giver":"Ann","taker":"B\u006fb","amount":5}',
    r'{"\u0067iver":"Ann","taker":"Bob","amount":5}',
    '\n{\n  "giver": "Ann",\n  "taker": "Bob",\n  "amount": 5\n}\n',
    '{\t"giver":\t"Ann",\t"taker":\t"Bob",\t"amount":\t5\t}',
    '{ "giver" : "Ann" , "taker" : "Bob" , "amount" : 5 }',
    '\r\n{"giver":"Ann",\r\n"taker":"Bob","amount":5}\r\n',
    '  {"giver":"Ann","taker":"Bob","amount":   5}  ',
)
FENCED = "Here it is:\n\n```{}\n{}\n```"
SQUARES = (
    "def f(x):\n    return x * x",
    "def f(x): return x ** 2",
    "f = lambda x: x * x",
    'def f(x: int) -> int:\n    """Square."""\n    return x * x\n',
    "def f(x, /):\n\treturn x * x",
    "def f(*xs):\n    return xs[0] ** 2",
    "from operator import mul\ndef f(x):\n    return mul(x, x)",
    "class F:\n    def __call__(self, x):\n        return x * x\nf = F()",
    "def square(x):\n    return x * x\nf = square",
    "import functools\n@functools.cache\ndef f(x):\n    return x * x",
    "def f(x):\r\n    return x * x\r\n",
    "# -*- coding: utf-8 -*-\ndef f(x):\n    return x * x  # \u00b2",
    "def f(x):\n    return sum(abs(x) for _ in range(abs(x)))",
    "def f(x):\n    return int(str(x * x))",
    "if True:\n    def f(x):\n        return x * x\n\nif __name__ == '__main__':\n    print(f(2))",
)
FUNCTION_SPELLINGS = (
    *SQUARES,
    FENCED.format("python", SQUARES[0]),
    FENCED.format("", SQUARES[1]),
    FENCED.format("py", SQUARES[2]) + "\n\nIt multiplies `x` by itself.",
    FENCED.format("python", "def f(x): return 0") + "\nBetter:\n" + FENCED.format("py", SQUARES[0]),
    "```python\n" + SQUARES[8] + "\n```",
)
DOUBLES = (
    "print(int(input()) * 2)",
    "print(2 * int(input()), end='')",
    "import sys\nprint(int(sys.stdin.read()) * 2)",
    "import sys\nsys.stdout.write(str(int(sys.stdin.readline()) * 2))",
    "import sys\nfor line in sys.stdin:\n    print(int(line) * 2)",
    "n = int(input())\nprint(f'{n + n}')",
    "print(str(int(input()) << 1) + '\\n\\n')",
    "def main():\n    print(int(input()) * 2)\nmain()",
    "if __name__ == '__main__':\n    print(int(input()) * 2)",
    "print(*[int(input()) * 2])",
    "print(int(open(0).read()) * 2)",
    "import os\nos.write(1, str(int(os.read(0, 99)) * 2).encode())",
    "print(int(input()) * 2, ' ')",
    "import atexit\natexit.register(lambda: print(int(input()) * 2))",
    "import sys\nprint(int(input()) * 2)\nsys.exit(0)",
    "from threading import Thread\nt = Thread(target=lambda: print(int(input()) * 2))\nt.start()",
)
PROGRAM_SPELLINGS = (
    *DOUBLES,
    FENCED.format("python", DOUBLES[0]),
    FENCED.format("python3", DOUBLES[2]),
    FENCED.format("", DOUBLES[7]) + "\nDone.",
    DOUBLES[0].replace("\n", "\r\n") + "\r\n",
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


@pytest.mark.parametrize("text", MOVE_SPELLINGS)
def test_a_call_in_twenty_spellings(text: str) -> None:
    move: JsonValue = {
        "name": "move",
        "arguments": {"giver": "Ann", "taker": "Bob", "amount": 5},
    }
    problem = pose("tool_calls", {"calls": [move]}, environment="ledger", state=LEDGER)
    session = open_environment(problem)
    arguments = read_json(text)
    assert isinstance(arguments, dict)
    told = Message(role="tool", name="move", content=session.call("move", arguments))
    outcome = Outcome((told, *say("Done.").messages), session.state)
    assert verify(problem, outcome).reward == 1.0


def test_code_in_twenty_spellings(sandbox: Sandbox) -> None:
    tests: JsonValue = ["assert f(2) == 4", "assert f(-3) == 9"]
    function = pose("python_function", {"tests": tests, "entry_points": ["f"]})
    cases: JsonValue = [{"stdin": "2\n", "stdout": "4\n"}, {"stdin": "-3\n", "stdout": "-6\n"}]
    program = pose("program", {"cases": cases})
    lost = [t for t in FUNCTION_SPELLINGS if verify(function, say(t), sandbox).reward < 1.0]
    lost += [t for t in PROGRAM_SPELLINGS if verify(program, say(t), sandbox).reward < 1.0]
    assert lost == []


@pytest.mark.parametrize("gap", ["", " ", "\n", "\t", "\r\n  "])
@pytest.mark.parametrize(
    "name", ['"caf\u00e9"', r'"caf\u00e9"', r'"\u0063af\u00E9"', r'"c\u0061f\u00e9"']
)
def test_an_object_in_twenty_spellings(name: str, gap: str) -> None:
    pair = [f'{name}{gap}:{gap}{{"deep":{gap}[1,{gap}2.0]}}', f'{gap}"b"{gap}:null{gap}']
    for members in (pair, pair[::-1]):
        text = f"{gap}{{{','.join(members)}}}{gap}"
        assert follows({"kind": "json_keys", "keys": ["caf\u00e9", "b"]}, text)
        assert follows({"kind": "json_only"}, text)


def test_spellings_are_twenty() -> None:
    tables = (
        *(NUMBER_SPELLINGS, TEXT_SPELLINGS, SCENARIO_SPELLINGS, SUM_SPELLINGS),
        *(EXPRESSION_SPELLINGS, MOVE_SPELLINGS, FUNCTION_SPELLINGS, PROGRAM_SPELLINGS),
    )
    assert [len(set(table)) for table in tables] == [20] * len(tables)


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
