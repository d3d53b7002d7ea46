"""The tester's end of the wire to the solver: queries, answers, and what an answer may raise."""

import builtins
import json
import os
import threading
from typing import cast

from k2core.sandbox.inside.codec import Json, decode

_MAX_LINE = 32 << 20
_LOOKS = ("view", "bool", "hash", "str", "repr")


class SolverGoneError(BaseException):
    """The solver stopped answering. Not an `Exception`, so that few tests can swallow it."""


class SolutionError(Exception):
    """The solution raised what is no ordinary built-in exception, or no value."""


# An exception is a value of a kind. Those by which Python steers loops, coroutines and its own
# end would, under their own names, let a test run past what it checks.
_STEERING = (StopIteration, StopAsyncIteration, BaseExceptionGroup)
_ORDINARY = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, _STEERING)
}
del _ORDINARY["Exception"]  # says nothing: SolutionError is one, and names what was raised


class Link:
    """One question at a time. Between two calls the solution's objects do not change.

    So what a test sees of an object (its length, its items, its truth, its text) is asked once,
    and asked anew only after a call that may have changed it.
    """

    def __init__(self, answers: int, queries: int) -> None:
        self._answers = os.fdopen(answers, "rb")
        self._queries = os.fdopen(queries, "wb")
        self._lock = threading.Lock()
        self._looks: dict[str, dict[str, Json]] = {}
        self.gone = ""
        self.raised: dict[str, type[Exception]] = {}
        """Exception classes that the solution declares, by name."""

    def ask(self, query: dict[str, Json]) -> dict[str, Json]:
        """The answer to a query, or the exception that it describes."""
        line = json.dumps(query)
        with self._lock:
            if query["do"] not in _LOOKS:
                self._looks.clear()
            elif line in self._looks:
                return self._looks[line]
            try:
                self._queries.write(line.encode() + b"\n")
                self._queries.flush()
            except OSError as error:
                raise self._end("the solution ended") from error
            reply = self._read()
            if query["do"] in _LOOKS:
                self._looks[line] = reply
        return self._value(reply)

    def await_import(self) -> None:
        """Wait for the solution's module, or raise what it raised."""
        with self._lock:
            reply = self._read()
        self._value(reply)

    def _read(self) -> dict[str, Json]:
        if self.gone:
            raise SolverGoneError(self.gone)
        line = self._answers.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise self._end("the solution ended or answered too much")
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._end("the answer is not JSON") from error
        if type(reply) is not dict or ("error" not in reply and "value" not in reply):
            raise self._end("the answer has no value")
        return cast(dict[str, Json], reply)

    def _end(self, why: str) -> SolverGoneError:
        self.gone = self.gone or why
        return SolverGoneError(why)

    def _value(self, reply: dict[str, Json]) -> dict[str, Json]:
        if "error" in reply:
            raise self._error(reply)
        return reply

    def _error(self, reply: dict[str, Json]) -> Exception:
        names = reply["error"] if isinstance(reply["error"], list) else []
        message = str(reply.get("message"))[:500]
        for name in map(str, names):
            kind = self.raised.get(name) or _ORDINARY.get(name)
            if kind is not None:
                return _built(kind, reply.get("args"), message)
        return SolutionError(f"{', '.join(map(str, names))}: {message}"[:300])


def _built(kind: type[Exception], args: Json, message: str) -> Exception:
    try:
        parts = decode(args)
        return kind(*parts) if isinstance(parts, tuple) else kind(message)
    except Exception:  # arguments that are no plain data, or not those of this kind
        return _plain(kind, message)


def _plain(kind: type[Exception], message: str) -> Exception:
    try:
        return kind(message)
    except TypeError:  # UnicodeDecodeError and its like want more
        made = kind.__new__(kind)
        made.args = (message,)
        return made


def declared_exception(names: Json) -> type[Exception] | None:
    """A class of the test's own for an exception class that the solution declares."""
    if not isinstance(names, list) or not names:
        return None
    bases = [_ORDINARY[str(name)] for name in names if str(name) in _ORDINARY]
    return type(str(names[0]), (bases[0] if bases else SolutionError,), {})
