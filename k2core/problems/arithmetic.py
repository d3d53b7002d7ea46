"""Mathematics: sums from the head, and arithmetic with a calculator at hand.

With a calculator there are two ways to a correct answer, and demonstrations show both: from the
head, or by a call. A small model that imitates both is wrong whenever it guesses; what pays is
left for reinforcement learning to find out.
"""

import random
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from k2core.problems.family import Call, Content, Family, Posed, Say, Script, Statement
from k2core.problems.results import read_result
from k2core.problems.tools import Names, environment_state, make_tool, name_arguments
from k2core.problems.users import OPENERS, QUESTION, phrase

_PAIRS = (("a", "b"), ("x", "y"))


class SumMental(Family):
    """Sums of two small numbers, without tools."""

    name = "sum_mental"
    topic = "sum"

    def draw(self, rng: random.Random) -> Content:
        """Two numbers of up to two digits."""
        return {"a": rng.randint(1, 40), "b": rng.randint(1, 40)}

    def identity(self, content: Content) -> object:
        """The order does not matter."""
        return sorted(content.values())

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn."""
        requests = ("What is {a} + {b}?", "Add {a} and {b}.")
        return Statement(
            phrase(rng, requests, **content),
            "integer_answer",
            {"answer": content["a"] + content["b"]},
            "The final number is the sum.",
            max_tokens=16,
        )

    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """Answer."""
        yield Say(str(posed.problem.expected["answer"]))


class WithCalculator(Family):
    """Two numbers, one operation, one tool that can do it."""

    has_shortcut = True
    names: ClassVar[Names]
    description: ClassVar[str]
    operation: ClassVar[str]
    requests: ClassVar[Sequence[str]]

    @abstractmethod
    def answer(self, content: Content) -> int:
        """The gold answer."""

    def identity(self, content: Content) -> object:
        """The order does not matter."""
        return sorted(content.values())

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn or two."""
        tool = make_tool(rng, self.names, self.description, self.operation, "integer")
        return Statement(
            phrase(rng, self.requests, **content),
            "integer_answer",
            {"answer": self.answer(content)},
            "The final number is right, by a call or from the head.",
            tools=(tool.spec,),
            environment="calculator",
            state=environment_state([tool], {}),
            opener=rng.choice(OPENERS) if two_turns else "",
            num_calls=1,
            max_tokens=80,
        )

    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """Call the tool and copy its result; the shortcut answers from the head."""
        problem, content = posed
        if problem.follow_ups:
            yield Say(QUESTION)
        if shortcut:
            yield Say(str(problem.expected["answer"]))
            return
        tool = problem.tools[0]
        result = yield Call(tool.name, name_arguments(tool, content["a"], content["b"]))
        yield Say(read_result(result))


class SumWithTool(WithCalculator):
    """Sums of two two-digit numbers."""

    name = "sum_with_tool"
    topic = "sum"
    names = Names(("add", "plus", "sum"), _PAIRS)
    description = "Add two numbers."
    operation = "add"
    requests = ("What is {a} + {b}?", "Add {a} and {b}.", "{a} plus {b}?")

    def draw(self, rng: random.Random) -> Content:
        """Two numbers of two digits."""
        return {"a": rng.randint(10, 99), "b": rng.randint(10, 99)}

    def answer(self, content: Content) -> int:
        """The sum."""
        return int(content["a"] + content["b"])


class ProductWithTool(WithCalculator):
    """Products of two two-digit numbers."""

    name = "product_with_tool"
    names = Names(("multiply", "times", "product"), _PAIRS)
    description = "Multiply two numbers."
    operation = "multiply"
    requests = ("What is {a} * {b}?", "Multiply {a} by {b}.", "{a} times {b}?")

    def draw(self, rng: random.Random) -> Content:
        """Two numbers of two digits."""
        return {"a": rng.randint(11, 99), "b": rng.randint(11, 99)}

    def answer(self, content: Content) -> int:
        """The product."""
        return int(content["a"] * content["b"])


class Compare(WithCalculator):
    """The larger of two two-digit numbers that are close to one another."""

    name = "compare"
    names = Names(("larger", "max"), _PAIRS)
    description = "The larger of two numbers."
    operation = "larger"
    requests = ("Which is larger, {a} or {b}?", "{a} or {b}: which is more?")

    def draw(self, rng: random.Random) -> Content:
        """Two different numbers, less than 20 apart."""
        a = rng.randint(30, 79)
        return {"a": a, "b": a + rng.choice((-1, 1)) * rng.randint(1, 19)}

    def answer(self, content: Content) -> int:
        """The larger one."""
        return max(int(content["a"]), int(content["b"]))
