"""The process that runs a solution: it answers calls, and never sees a test or what it expects."""

import builtins
import itertools
import json
import operator
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import BinaryIO, cast

from k2core.sandbox.inside.codec import Json, decode, encode

MAX_ITEMS = 100_000
"""A container of more items is endless."""
_MUTABLE = (list, dict, set, bytearray)


def _call(target: Callable[..., object], /, *arguments: object, **keywords: object) -> object:
    return target(*arguments, **keywords)


def _view(value: object) -> tuple[int | None, list[object] | None]:
    """A container's length and items, each None where it has none: read once, together."""
    kind = type(value)
    size = len(value) if hasattr(kind, "__len__") else None  # type: ignore[arg-type]
    if not hasattr(kind, "__iter__") and not (size is not None and hasattr(kind, "__getitem__")):
        return size, None
    items = list(itertools.islice(cast(Iterable[object], value), MAX_ITEMS + 1))
    return size, items


def _advance(iterator: Iterator[object], most: int) -> list[object]:
    """The next values; fewer than `most` where they end."""
    return list(itertools.islice(iterator, most))


def _enter(value: object) -> object:
    return type(value).__enter__(value)  # type: ignore[attr-defined]


def _leave(value: object) -> None:
    type(value).__exit__(value, None, None, None)  # type: ignore[attr-defined]


_PAIRED = "add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift"
_COMPARED = "eq lt le gt ge contains getitem setitem delitem"
_SINGLE = "neg pos invert"
_OPERATIONS: dict[str, Callable[..., object]] = {
    **{name: getattr(operator, name) for name in f"{_PAIRED} {_COMPARED} {_SINGLE}".split()},
    **{f.__name__: f for f in (abs, bool, complex, delattr, divmod, float, format, getattr, hash)},
    **{f.__name__: f for f in (int, isinstance, repr, round, setattr, str)},
    "call": _call,
    "view": _view,
    "next": _advance,
    "enter": _enter,
    "leave": _leave,
}


class _Solution:
    """A solution's module, and the objects it handed out by reference."""

    def __init__(self) -> None:
        # In sys.modules, where dataclasses, pickle and typing look for a class' names.
        self.module = sys.modules["solution"] = ModuleType("solution")
        self._handles: list[object] = []
        self._numbers: dict[int, int] = {}

    def refer(self, value: object) -> Json:
        number = self._numbers.setdefault(id(value), len(self._handles))
        if number == len(self._handles):
            self._handles.append(value)  # kept, so that its id stays its own
        if isinstance(value, type) and issubclass(value, Exception):
            return {"ref": [number, [*_kinds(value)]]}
        return {"iter" if hasattr(type(value), "__next__") else "ref": [number]}

    def resolve(self, tag: str, body: Json) -> object:
        (number,) = cast(list[int], body)
        return self._handles[number]

    def answer(self, query: dict[str, Json]) -> dict[str, Json]:
        given = cast(list[Json], query["args"])
        named = cast(dict[str, Json], query.get("kwargs", {}))
        arguments = [decode(item, self.resolve) for item in given]
        keywords = {name: decode(item, self.resolve) for name, item in named.items()}
        name = str(query["do"])
        if name == "get":
            return {"value": encode(vars(self.module)[str(arguments[0])], self.refer)}
        value = _OPERATIONS[name](*arguments, **keywords)
        pairs = zip([*arguments, *keywords.values()], [*given, *named.values()], strict=True)
        return {
            "value": encode(value, self.refer),
            # Tests may look at what a call did to its arguments.
            "args": [self._changed(argument, was) for argument, was in pairs],
        }

    def _changed(self, argument: object, was: Json) -> Json:
        if type(argument) not in _MUTABLE:
            return None
        now = encode(argument, self.refer)
        return None if now == was else now


def serve(source: str) -> None:
    """Run the solution, then answer queries from standard input on standard output."""
    queries = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):  # what the solution prints never reaches the answers
        os.dup2(null, stream)
    solution = _Solution()
    try:
        exec(compile(source, "solution.py", "exec"), vars(solution.module))
        _write(answers, {"value": None})
    except BaseException as error:  # whatever the solution raises is its answer
        _write(answers, _describe(error, solution))
    for line in queries:
        try:
            reply = solution.answer(json.loads(line))
        except BaseException as error:
            reply = _describe(error, solution)
        _write(answers, reply)


def _kinds(kind: type) -> Iterator[str]:
    """Names of an exception's classes: its own first, then those that are built in."""
    yield kind.__name__
    for base in kind.__mro__:
        if getattr(builtins, base.__name__, None) is base:
            yield base.__name__


def _describe(error: BaseException, solution: _Solution) -> dict[str, Json]:
    try:
        names: list[Json] = [*_kinds(type(error))]
        return {
            "error": names[:9],
            "message": str(error)[:500],
            "args": _arguments(error, solution),
        }
    except BaseException:  # a hostile __str__
        return {"error": ["Exception"], "message": ""}


def _arguments(error: BaseException, solution: _Solution) -> Json:
    try:
        crossed = encode(error.args, solution.refer)
        return crossed if len(json.dumps(crossed)) < 4096 else None
    except BaseException:
        return None


def _write(stream: BinaryIO, reply: dict[str, Json]) -> None:
    stream.write(json.dumps(reply).encode() + b"\n")
    stream.flush()
