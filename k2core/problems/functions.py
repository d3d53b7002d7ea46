"""Code: short Python functions, verified by running them on hidden tests."""

import random
from typing import NamedTuple

from k2core.problems.family import Content, Family, Posed, Say, Script, Statement
from k2core.problems.users import phrase

_REQUESTS = (
    "Write a Python function {name}({parameters}) that returns {what}.",
    "Python: {name}({parameters}) returns {what}.",
)
_NAMES = ("f", "g", "h")


class FunctionFamily(Family):
    """A function is described; its definition is the answer."""

    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """Write it."""
        content = posed.content
        yield Say(f"def {content['name']}({content['parameters']}):\n    return {content['body']}")


class LinearFunction(FunctionFamily):
    """`x * 3 + 2` and the like."""

    name = "linear_function"

    def draw(self, rng: random.Random) -> Content:
        """A factor, an offset and their signs."""
        variable = rng.choice("xn")
        factor, offset, sign = rng.randint(2, 19), rng.randint(1, 50), rng.choice("+-")
        body = f"{variable} * {factor} {sign} {offset}"
        return {"name": rng.choice(_NAMES), "parameters": variable, "body": body}

    def identity(self, content: Content) -> object:
        """The body, whatever the variable is called."""
        return content["body"][1:]

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn."""
        name, variable, body = content["name"], content["parameters"], content["body"]
        expected = [(x, eval_linear(body, x)) for x in (0, 1, 7)]
        return Statement(
            phrase(rng, _REQUESTS, name=name, parameters=variable, what=body),
            "python_function",
            {
                "tests": [f"assert {name}({x}) == {y}" for x, y in expected],
                "entry_points": [name],
            },
            f"{name} returns {body}.",
            max_tokens=48,
        )


class Pattern(NamedTuple):
    """A function of a text or a list, by its description; slots in braces."""

    what: str
    body: str
    tests: tuple[str, ...]
    """Comparisons that must hold."""


PATTERNS = (
    Pattern("{p} in upper case", "{p}.upper()", ("{f}('aBc') == 'ABC'", "{f}('') == ''")),
    Pattern("{p} in lower case", "{p}.lower()", ("{f}('aBc') == 'abc'", "{f}('') == ''")),
    Pattern("the length of {p}", "len({p})", ("{f}('abc') == 3", "{f}('') == 0")),
    Pattern("{p} reversed", "{p}[::-1]", ("{f}('abc') == 'cba'", "{f}('') == ''")),
    Pattern("the sum of {p}", "sum({p})", ("{f}([1, 2, 5]) == 8", "{f}([]) == 0")),
    Pattern("the largest of {p}", "max({p})", ("{f}([1, 7, 5]) == 7", "{f}([-2, -3]) == -2")),
    Pattern("the smallest of {p}", "min({p})", ("{f}([4, 7, 5]) == 4", "{f}([-2, -3]) == -3")),
    Pattern("{p} sorted", "sorted({p})", ("{f}([3, 1, 2]) == [1, 2, 3]", "{f}([]) == []")),
    Pattern(
        "the first {n} of {p}", "{p}[:{n}]", ("{f}('{alphabet}') == '{first}'", "{f}('') == ''")
    ),
    Pattern(
        "the last {n} of {p}", "{p}[-{n}:]", ("{f}('{alphabet}') == '{last}'", "{f}('') == ''")
    ),
    Pattern("{p} repeated {n} times", "{p} * {n}", ("{f}('ab') == 'ab' * {n}", "{f}('') == ''")),
    Pattern(
        "the count of {letter!r} in {p}",
        "{p}.count({letter!r})",
        ("{f}('{letter}x{letter}') == 2 + ('{letter}' == 'x')", "{f}('') == 0"),
    ),
)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


class TextFunction(FunctionFamily):
    """Functions of a text or a list, from a closed set of patterns with slots."""

    name = "text_function"

    def draw(self, rng: random.Random) -> Content:
        """A pattern and what fills its slots."""
        pattern = rng.choice(PATTERNS)
        name, parameter, number = rng.choice(_FUNCTIONS), rng.choice(_PARAMETERS), rng.randint(2, 9)
        fields = {
            "f": name,
            "p": parameter,
            "n": number,
            "letter": rng.choice(_ALPHABET),
            "alphabet": _ALPHABET,
            "first": _ALPHABET[:number],
            "last": _ALPHABET[-number:],
        }
        return {
            "name": name,
            "parameters": parameter,
            "what": pattern.what.format(**fields),
            "body": pattern.body.format(**fields),
            "tests": [f"assert {test.format(**fields)}" for test in pattern.tests],
        }

    def identity(self, content: Content) -> object:
        """Name, parameter and body together: no held-out definition is a training one."""
        return [content["name"], content["parameters"], content["body"]]

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn."""
        return Statement(
            phrase(rng, _REQUESTS, **{k: content[k] for k in ("name", "parameters", "what")}),
            "python_function",
            {"tests": list(content["tests"]), "entry_points": [content["name"]]},
            f"{content['name']} returns {content['what']}.",
            max_tokens=48,
        )


_PARAMETERS = ("x", "s", "v", "a", "t", "data", "value", "items")
_FUNCTIONS = ("f", "g", "h", "run", "make", "call", "apply", "get")


def eval_linear(body: str, x: int) -> int:
    """The value of `VARIABLE * FACTOR SIGN OFFSET` at x."""
    _, _, factor, sign, offset = body.split()
    return x * int(factor) + (int(offset) if sign == "+" else -int(offset))
