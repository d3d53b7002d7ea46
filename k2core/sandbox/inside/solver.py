"""The process that runs a solution: it answers calls, and never sees a test or what it expects."""

import itertools
import json
import os
from typing import Any, BinaryIO

from k2core.sandbox.inside.codec import decode, encode

_MAX_YIELDED = 100_000
_MUTABLE = (list, dict, set, bytearray)


class _Solution:
    """A solution's namespace, and the objects it handed out by reference."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "solution"}
        self._handles: list[Any] = []

    def refer(self, value: object) -> dict[str, Any]:
        self._handles.append(value)
        return {"ref": [len(self._handles) - 1]}

    def resolve(self, body: list[Any]) -> Any:
        return self._handles[body[0]]

    def answer(self, query: dict[str, Any]) -> dict[str, Any]:
        arguments: list[Any] = []
        if query["op"] == "get":
            value = self.names[query["name"]]
        elif query["op"] == "attribute":
            value = getattr(self._handles[query["ref"]], query["name"])
        else:
            arguments = [decode(item, self.resolve) for item in query["args"]]
            keywords = {k: decode(item, self.resolve) for k, item in query["kwargs"].items()}
            target = self._handles[query["ref"]]
            called = target if query["op"] == "call" else getattr(target, query["name"])
            value = called(*arguments, **keywords)
            if hasattr(value, "__next__"):
                value = list(itertools.islice(value, _MAX_YIELDED))
        return {
            "value": encode(value, self.refer),
            # Tests may look at what a call did to its arguments.
            "args": [encode(a, self.refer) if type(a) in _MUTABLE else None for a in arguments],
        }


def serve(source: str) -> None:
    """Run the solution, then answer queries from standard input on standard output."""
    queries = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):  # what the solution prints never reaches the answers
        os.dup2(null, stream)
    solution = _Solution()
    try:
        exec(compile(source, "solution.py", "exec"), solution.names)
        _write(answers, {"value": None, "args": []})
    except BaseException as error:  # whatever the solution raises is its answer
        _write(answers, _describe(error))
    for line in queries:
        try:
            reply = solution.answer(json.loads(line))
        except BaseException as error:
            reply = _describe(error)
        _write(answers, reply)


def _describe(error: BaseException) -> dict[str, Any]:
    try:
        names = [kind.__name__ for kind in type(error).__mro__][:8]
        return {"error": names, "message": str(error)[:500]}
    except BaseException:  # a hostile __str__
        return {"error": ["Exception"], "message": ""}


def _write(stream: BinaryIO, reply: dict[str, Any]) -> None:
    stream.write(json.dumps(reply).encode() + b"\n")
    stream.flush()
