"""Rows of data sets in their own formats, with what is right and wrong to say to them."""

import base64
import json
import pickle
import zlib
from typing import Any, NamedTuple

ASKED = [{"role": "user", "content": "What is a half of three quarters?"}]
WEATHER = {
    "city": {"type": "str", "description": "Where."},
    "days": {"type": "int, optional", "default": 1},
}


class Sample(NamedTuple):
    """A row as the data set has it, and what is said to it."""

    row: dict[str, Any]
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    asked: str = ""
    """That the prompt must hold."""


def call(name: str, **arguments: object) -> str:
    return json.dumps([{"name": name, "arguments": arguments}])


def packed(of: object) -> str:
    """As LiveCodeBench has what it keeps private."""
    return base64.b64encode(zlib.compress(pickle.dumps(of))).decode()


GSM8K = "She eats 3 of 16 eggs.\nShe sells 16 - 3 = <<16-3=13>>13 eggs for $<<13*2=26>>26.\n#### {}"
MATH = (
    r"We have $x^2 = 4$, so $x = 2$ or $x = 1 < 2$. Hence it is $\boxed{\frac{3}{8}}$, as $3 = 3$."
)
STUB = 'from typing import List\n\n\ndef total(xs: List[int]) -> int:\n    """Sum."""\n'
CHECK = "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n"
METHOD = """class Solution:
    def count(self, s: str, k: int) -> List[Tuple[str, int]]:
        return [(c, n) for c, n in sorted(Counter(s).items()) if n > pow(k, 1)]
"""
BOXED = (r"So $\boxed{\frac38}$.", "The answer is 3/8.", "#### 0.375", "<answer> $3/8$ </answer>")
UNEQUAL = (r"\boxed{\frac{3}{8}+5}", "3", r"It was $\frac38$, so $\boxed{3}$.", "3/8 or 8/3", "")
SAMPLES: dict[str, list[Sample]] = {
    "GSM8K": [
        Sample({"question": "Q?", "answer": GSM8K.format(gold)}, right, wrong)
        for gold, right, wrong in (
            (
                "26",
                ("26", "#### 26", r"\boxed{26}. Note that 13 is half.", "She makes $26.00."),
                ("13", "2", "#### 13\nnot 26", ""),
            ),
            (
                "70,000",
                ("70000", "$70,000", r"\boxed{70{,}000}", r"It is $70\,000$."),
                ("70", "0", "7"),
            ),
            ("-5", ("-5", "#### -5", "It fell: \u22125 degrees"), ("5", "- 4")),
        )
    ],
    "MATH, NuminaMath, open-r1": [
        Sample({"problem": "Q?", "solution": MATH, "answer": r"\frac{3}{8}"}, BOXED, UNEQUAL)
    ],
    "AIME, Big-Math, DeepScaleR": [
        Sample({"problem": "Q?", "answer": gold}, right, wrong)
        for gold, right, wrong in (
            ("033", ("33", r"\boxed{033}"), ("3", "330")),
            (
                r"10\text{ cm}^2",
                (r"\boxed{10}", "10 cm^2", "It takes 10 square cm."),
                ("100", "10 cm 3"),
            ),
            ("50\\%", (r"\boxed{50\%}", "50%", "50 percent"), ("5%", "500")),
            (
                r"(-\infty, 2) \cup [3, \infty)",
                (r"\boxed{(-\infty,2)\cup[3,\infty)}",),
                (r"\boxed{(-\infty,2)}", "3"),
            ),
            (
                "1, -2",
                (r"$x=1 \text{ or } x=-2$", r"\boxed{-2, 1}", "x=1, x=-2"),
                (r"\boxed{1}", "-2"),
            ),
            (r"0.\overline{3}", ("1/3", r"\boxed{0.\overline{3}}"), ("0", "0.3", "3")),
            ("7:00", ("7:00 p.m.", r"\boxed{7:00}"), ("5:00", "7", r"\boxed{8:00}")),
            ("2516_8", (r"\boxed{2516_{8}}", r"\boxed{1358_{10}}"), (r"\boxed{2516_9}", "8")),
            (
                r"\text{even}",
                (r"\boxed{\text{even}}", "It is even."),
                ("neve", "odd", "even or odd"),
            ),
            ("No", ("no", r"\boxed{\text{No}}"), ("on", "Yes")),
            (r"\{x \mid x > 2\}", (r"\boxed{\{x \mid x > 2\}}",), ("2", r"\boxed{2}")),
            ("x^2+y^2=1", (r"\boxed{x^2+y^2=1}", "It is x^2+y^2=1."), ("1", "x^2+y^2=2")),
            ("1{,}250", ("1250", "$1,250", r"\boxed{1{,}250}"), ("1", r"\boxed{1,250+1}", "250")),
            (r"so it is $\boxed 7$.", ("7", r"\boxed 7", r"$\boxed{7}$"), ("8", r"\boxed 8")),
            ("2i", (r"\boxed{2i}", "2i"), ("2", "-2i")),
            ("B", (r"\boxed{\textbf{(B)}\ 7}", "The answer is (B).", "B"), ("C", "A or B", "7")),
            ("2 1/2", ("5/2", r"\boxed{2\frac{1}{2}}", "2.5 hours"), ("1", "2/2")),
        )
    ],
    "DAPO, Skywork-OR1, others in verl's parquet": [
        Sample(
            {
                "data_source": "math",
                "prompt": ASKED,
                "ability": "MATH",
                "reward_model": {"ground_truth": gold, "style": "rule"},
                "extra_info": {"index": 3, "split": "train"},
            },
            (
                *BOXED,
                "Answer: $3/8$",
                "Final Answer: The final answer is 3/8. I hope it is correct.",
            ),
            UNEQUAL,
            "three quarters",
        )
        for gold in ("3/8", r'["\\frac{3}{8}"]')
    ],
    "TRL, prompt with completion": [
        Sample(
            {"prompt": ASKED, "completion": [{"role": "assistant", "content": MATH}]},
            BOXED,
            UNEQUAL,
        )
    ],
    "`messages` that end with the reference": [
        Sample({"messages": [*ASKED, {"role": "assistant", "content": MATH}]}, BOXED, UNEQUAL)
    ],
    "NQ, TriviaQA, HotpotQA": [
        Sample({"question": "Q?", "golden_answers": gold}, right, ("Rome", "Paris or Rome", ""))
        for gold, right in (
            (["Paris", "City of Light"], ("Paris", "**City of Light**.")),
            (["Paris"], ("Paris.",)),
        )
    ],
    "MMLU": [
        Sample(
            {"question": "Which is prime?", "choices": ["4", "7", "a 9"], "answer": 1},
            (
                "B",
                "(B)",
                "B. 7",
                "The answer is **B**.",
                "7",
                r"\boxed{B}",
                "It divides.\nAnswer: (B)",
            ),
            ("A", "A or B", "A cat", "Because B", "not B", "The answer is A.\nB would be 7.", ""),
            "Which is prime?\nA. 4\nB. 7\nC. a 9",
        ),
        *(
            Sample(
                {"question": question, "choices": ["4", "7"], "answer": 1},
                ("B",),
                ("A", "4"),
                f"{question}\n{listed}".strip(),
            )
            for question, listed in (
                ("Which is prime, 4 or 7?", "A. 4\nB. 7"),
                ("Which is prime? (A) 4 (B) 7", ""),
            )
        ),
    ],
    "ARC": [
        Sample(
            {
                "question": "Which is prime?",
                "choices": {"text": ["four", "seven"], "label": label},
                "answerKey": label[1],
            },
            ("B", "b)", "Seven."),
            ("A", "4", "2"),
            "A. four\nB. seven",
        )
        for label in (["A", "B"], ["1", "2"])
    ],
    "MBPP": [
        Sample(
            {
                "text": "Write a function to square.",
                "code": "def square(x):\n    return math.floor(x) ** 2",
                "test_list": ["assert square(2.5) == 4", "assert math.isclose(square(3), 9)"],
                "test_setup_code": "import math",
                "task_id": 7,
            },
            ("```python\ndef square(y):\n    return math.floor(y) ** 2\n```",),
            ("def square(x):\n    return x + x", "def cube(x):\n    return x ** 3", ""),
            "It is called `def square(x)`.",
        )
    ],
    "HumanEval": [
        Sample(
            {
                "prompt": STUB,
                "canonical_solution": "    return sum(xs)\n",
                "test": CHECK,
                "entry_point": "total",
            },
            ("```python\ndef total(xs: List[int]) -> int:\n    return sum(xs)\n```",),
            ("def total(xs: List[int]) -> int:\n    return len(xs)", "def sum_of(xs): return 3"),
        )
    ],
    "APPS, TACO": [
        Sample(
            {
                "question": "Double it.",
                "input_output": json.dumps(
                    {"inputs": ["2\n", ["3", "4"]], "outputs": ["4\n", "6\n"]}
                ),
                "solutions": json.dumps(["print(2 * int(input()))", "x"]),
            },
            ("```python\nprint(int(input()) * 2)\n```",),
            ("print(4)", "print(input())", ""),
        ),
        Sample(
            {
                "question": "Count each letter.",
                "input_output": json.dumps(
                    {
                        "fn_name": "count",
                        "inputs": [["aab", 1], ["b", 2]],
                        "outputs": [[["a", 2]], [[]]],
                    }
                ),
                "solutions": json.dumps([METHOD]),
                "starter_code": "",
            },
            (METHOD,),
            (METHOD.replace("class Solution", "class Other"), METHOD.replace(" > ", " >= "), ""),
            "class Solution:\n    def count(self, s: str, k: int):",
        ),
        Sample(
            {
                "question": "Double.",
                "input_output": {"fn_name": "double", "inputs": [[2], [3]], "outputs": [4, [6]]},
                "solutions": ["def double(x):\n    return 2 * x"],
            },
            ("def double(y): return y + y",),
            ("def double(y): return y * y", "print(4)", "def triple(y): return 3 * y"),
            "It is called `def double(x)`.",
        ),
    ],
    "LiveCodeBench": [
        Sample(
            {
                "question_content": "Add the numbers.",
                "starter_code": "class Solution:\n    def total(self, xs: List[int], more: str):\n",
                "metadata": json.dumps({"func_name": "total"}),
                "public_test_cases": json.dumps(
                    [
                        {"input": '[1, 2]\n"a"', "output": "3", "testtype": "functional"},
                        {"input": '[]\n"b"', "output": "0", "testtype": "functional"},
                    ]
                ),
            },
            ("class Solution:\n    def total(self, xs, more):\n        return sum(xs)",),
            (
                "class Solution:\n    def total(self, xs, more):\n        return 3",
                "def total(xs, more):\n    return sum(xs)",
                "print(3)",
            ),
            "def total(self, xs: List[int], more: str):",
        ),
        Sample(
            {
                "question_content": "Double it.",
                "public_test_cases": json.dumps(
                    [
                        {"input": "2", "output": "4", "testtype": "stdin"},
                        {"input": "3", "output": "6", "testtype": "stdin"},
                    ]
                ),
            },
            ("print(int(input()) * 2)",),
            ("print(4)",),
        ),
    ],
    "LiveCodeBench's private tests": [
        Sample(
            {
                "question_content": "Double it.",
                "private_test_cases": packed(
                    json.dumps([{"input": "2", "output": "4", "testtype": "stdin"}])
                ),
            },
            ("print(int(input()) * 2)",),
            ("print(5)",),
        )
    ],
    "CodeContests": [
        Sample(
            {
                "description": "Double it.",
                "public_tests": {"input": ["2", "3"], "output": ["4", "6"]},
            },
            ("print(int(input()) * 2)",),
            ("print(4)",),
        )
    ],
    "code in verl's parquet": [
        Sample(
            {
                "prompt": ASKED,
                "reward_model": {
                    "ground_truth": json.dumps({"inputs": ["2", "3"], "outputs": ["4", "6"]})
                },
            },
            ("print(int(input()) * 2)",),
            ("print(4)",),
        )
    ],
    "BFCL": [
        Sample(
            {
                "question": [[{"role": "user", "content": "The weather of Oslo?"}]],
                "function": [
                    {
                        "name": "geo.weather",
                        "description": "",
                        "parameters": {
                            "type": "dict",
                            "properties": {"city": {"type": "string"}, "d": {"type": "float"}},
                        },
                    }
                ],
                "ground_truth": [
                    {"geo.weather": {"city": ["Oslo", "Oslo, Norway"], "d": ["", 1.0]}}
                ],
            },
            (call("geo_weather", city="oslo"), call("geo_weather", city="Oslo Norway", d=1)),
            (
                call("geo_weather"),
                call("geo_weather", city="Bergen"),
                call("geo_weather", city="Oslo", d=True),
                call("weather", city="Oslo"),
                "[]",
            ),
        )
    ],
    "xLAM function calling": [
        Sample(
            {
                "query": "The weather of Oslo?",
                "tools": json.dumps(
                    [{"name": "weather", "description": "", "parameters": WEATHER}]
                ),
                "answers": json.dumps([{"name": "weather", "arguments": {"city": "Oslo"}}]),
            },
            (call("weather", city="Oslo"), call("weather", city="Oslo", days=1.0)),
            (
                call("weather", city="Oslo", days=2),
                call("weather", city="oslo"),
                call("Weather", city="Oslo"),
                "[]",
            ),
        )
    ],
    "IFEval": [
        Sample(
            {
                "key": 1000,
                "prompt": "Say a thing.",
                "instruction_id_list": [
                    "punctuation:no_comma",
                    "length_constraints:number_words",
                    "startend:end_checker",
                ],
                "kwargs": [
                    {"num_words": None},
                    {"num_words": 5.0, "relation": "less than"},
                    {"end_phrase": "Done."},
                ],
            },
            ("a b c done.",),
            ("a b, c done.", "a b c d done.", "a b"),
        )
    ],
}
