"""More rows of data sets in their own formats: of choice, of answers by any of several, of code."""

import json

from tests.k2core.problems.data_sets import Sample, call

ADD = "def add(a, b):\n    return a + b"
NOT_ADD = ("def add(a, b):\n    return 3", "def add(a, b):\n    return None", "print(3)", "")
PYTEST = """import math
from solution import add

def test_small():
    assert add(1, 2) == 3

def test_none():
    assert math.isclose(add(0, 5), 5)
"""
UNITTEST = """import unittest

class TestCases(unittest.TestCase):
    def test_small(self):
        self.assertEqual(add(1, 2), 3)

    def test_none(self):
        self.assertEqual(add(0, 5), 5)
"""
METHODS = """class TestAdd:
    def test_small(self):
        assert add(1, 2) == 3

    def test_none(self):
        assert add(0, 5) == 5
"""
TWICE = "def twice(xs, target):\n    return [target * x for x in xs]"
IN_CLASS = (
    "class Solution:\n    def twice(self, nums, target):\n        return [target * n for n in nums]"
)
MORE: dict[str, list[Sample]] = {
    "MMLU-Pro, AQuA-RAT": [
        Sample(
            {"question": "Which is prime?", "options": ["4", "6", "7"], "answer": "C"},
            ("C", "The answer is (C).", "7"),
            ("B", "4", "I think so", "A or C"),
            "A. 4\nB. 6\nC. 7",
        ),
        Sample(
            {"question": "How many?", "options": ["A)21", "B)21.5", "C)22"], "answer": "B"},
            ("B", "(b)", "21.5"),
            ("A", "21", "22"),
            "A. 21\nB. 21.5\nC. 22",
        ),
    ],
    "HellaSwag": [
        Sample(
            {"ctx": "A man", "endings": ["eats.", "runs.", "sleeps."], "label": label},
            ("C", "sleeps."),
            ("B", "runs.", "2", ""),
            "C. sleeps.",
        )
        for label in ("2", 2)
    ],
    "SQuAD, TriviaQA": [
        Sample(
            {"question": "Where?", "answers": gold},
            ("Oslo", "**the town of Oslo**"),
            ("Bergen", "Oslo or Bergen", "", "O"),
        )
        for gold in (
            {"text": ["Oslo", "the town of Oslo"], "answer_start": [1, 2]},
            {"aliases": ["the town of Oslo"], "value": "Oslo"},
            ["Oslo", "the town of Oslo", 7],
        )
    ],
    "KodCode, BigCodeBench": [
        *(
            Sample({"question": "Write add.", "test": test} | more, (ADD,), NOT_ADD, "add")
            for test in (PYTEST, UNITTEST, METHODS)
            for more in ({"solution": ADD}, {})
        ),
    ],
    "LeetCodeDataset": [
        Sample(
            {
                "query": "Write twice.",
                "entry_point": "Solution().twice",
                "test": "def check(candidate):\n    assert candidate(nums=[1], target=3) == [3]\n",
                "completion": IN_CLASS,
            },
            (IN_CLASS,),
            (TWICE, IN_CLASS.replace("target * n", "n"), ""),
        )
    ],
    "tau-bench, by its calls alone": [
        Sample(
            {"instruction": "Cancel it.", "actions": [{"name": "cancel", name: {"id": 1}}]},
            (call("cancel", id=1),),
            (call("cancel", id=2), call("cancel"), "[]"),
        )
        for name in ("arguments", "kwargs")
    ],
    "Hermes": [
        Sample(
            {
                "conversations": [
                    {"from": "human", "value": "The weather of Oslo?"},
                    {
                        "from": "gpt",
                        "value": '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n'
                        "</tool_call>",
                    },
                ],
                "tools": [{"name": "weather", "input_schema": {"type": "object"}}],
            },
            (call("weather", city="Oslo"),),
            (call("weather", city="Rome"), "[]"),
        )
    ],
    "DeepCoder": [
        Sample(
            {
                "problem": "Double it.",
                "tests": json.dumps(
                    [
                        {"input": "2\n", "output": "4\n", "type": "stdin_stdout"},
                        {"input": "3\n", "output": "6\n", "type": "stdin_stdout"},
                    ]
                ),
            },
            ("print(int(input()) * 2)",),
            ("print(4)", "print(input())", ""),
        ),
        Sample(
            {
                "problem": "Write twice.",
                "tests": json.dumps(
                    [{"fn_name": "twice", "input": [[1, 2], 2], "output": [2, 4], "type": "call"}]
                ),
            },
            (TWICE,),
            ("print([2, 4])", "def twice(xs, target): return xs", IN_CLASS),
            "It is called `twice`.",
        ),
    ],
    "SYNTHETIC-1": [
        Sample(
            {
                "prompt": "Double it.",
                "verification_info": json.dumps(
                    {"test_cases": [{"input": "2", "output": "4"}, {"input": "3", "output": "6"}]}
                ),
            },
            ("print(int(input()) * 2)",),
            ("print(4)",),
        )
    ],
}
