"""Sums of given numbers: evaluated exactly, and by no library that knows more than four signs."""

import ast
import operator
import re
from collections.abc import Callable, Sequence
from fractions import Fraction

_LONGEST = 500
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_SIGNS = str.maketrans({"\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-", "\u2013": "-"})


def makes(answer: str, numbers: Sequence[int], target: int) -> bool:
    """Whether an expression of these numbers, each as often as given, has the target's value.

    Signs may be typographic, white space and the marks of Markdown around it as they like.
    """
    text = answer.strip().strip("*`$").translate(_SIGNS)
    if len(text) > _LONGEST or not re.fullmatch(r"[0-9\s()+\-*/]+", text):
        return False
    used: list[int] = []
    try:
        tree = ast.parse(" ".join(text.split()), mode="eval")
        value = _evaluate(tree.body, used)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return False
    return value == target and sorted(used) == sorted(numbers)


def _evaluate(node: ast.expr, used: list[int]) -> Fraction:
    """The value; notes the numbers that stand in it.

    Raises:
        ValueError: anything but whole numbers and the four signs.
        ZeroDivisionError: a division by zero.
    """
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _evaluate(node.left, used), _evaluate(node.right, used)
        return _OPERATORS[type(node.op)](left, right)
    if isinstance(node, ast.Constant) and type(node.value) is int:
        used.append(node.value)
        return Fraction(node.value)
    raise ValueError(f"{type(node).__name__} is no part of a sum")
