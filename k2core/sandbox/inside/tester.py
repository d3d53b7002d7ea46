"""The process that runs the hidden tests against proxies; it never runs a line of the solution."""

import ast
import builtins
import json
import os
from typing import Any

from k2core.sandbox.inside.codec import decode, encode

_MAX_LINE = 4 << 20


class SolverGoneError(BaseException):
    """The solver stopped answering. Not an `Exception`, so that no test can swallow it."""


class SolutionError(Exception):
    """The solution raised something that has no built-in name."""


class _Link:
    """Queries to the solver and its answers."""

    def __init__(self, answers: int, queries: int) -> None:
        self._answers = os.fdopen(answers, "rb")
        self._queries = os.fdopen(queries, "wb")

    def ask(self, query: dict[str, Any]) -> dict[str, Any]:
        try:
            self._queries.write(json.dumps(query).encode() + b"\n")
            self._queries.flush()
        except OSError as error:
            raise SolverGoneError("the solution ended") from error
        return self.read()

    def read(self) -> dict[str, Any]:
        line = self._answers.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise SolverGoneError("the solution ended or answered too much")
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SolverGoneError("the answer is not JSON") from error
        if type(reply) is not dict:
            raise SolverGoneError("the answer is not an object")
        if "error" in reply:
            _raise_like(reply)
        if "value" not in reply:
            raise SolverGoneError("the answer has no value")
        return reply

    def call(self, query: dict[str, Any], args: Any, kwargs: Any) -> Any:
        query["args"] = [encode(a, _refer) for a in args]
        query["kwargs"] = {name: encode(a, _refer) for name, a in kwargs.items()}
        reply = self.ask(query)
        for mine, theirs in zip(args, reply.get("args") or [], strict=False):
            if theirs is not None:
                _reflect(mine, decode(theirs, self.resolve))
        return decode(reply["value"], self.resolve)

    def resolve(self, body: list[Any]) -> "Proxy":
        return Proxy(self, int(body[0]))


class Proxy:
    """An object that lives in the solver. It has no vote in `==`, which is identity here."""

    __slots__ = ("_link", "_ref")

    def __init__(self, link: _Link, ref: int) -> None:
        self._link, self._ref = link, ref

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Call the object in the solver."""
        return self._link.call({"op": "call", "ref": self._ref}, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        reply = self._link.ask({"op": "attribute", "ref": self._ref, "name": name})
        return decode(reply["value"], self._link.resolve)

    def __len__(self) -> int:
        size = self._link.call({"op": "method", "ref": self._ref, "name": "__len__"}, (), {})
        if type(size) is not int:
            raise TypeError("__len__ is not an int")
        return size

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, key: object) -> Any:
        query = {"op": "method", "ref": self._ref, "name": "__getitem__"}
        return self._link.call(query, (key,), {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and self._ref == other._ref

    __hash__ = None  # type: ignore[assignment]


def run_tests(payload: str) -> None:
    """Run each test; write a JSON list of failures (empty text: passed) to standard error."""
    request = json.loads(payload)
    link = _Link(os.dup(0), os.dup(1))
    verdict = os.dup(2)
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    failures, gone = [], _failure_of_import(link)
    for test in request["tests"]:
        failure = gone or _run_test(link, test, request["entry_points"])
        if failure.startswith("solution gone"):
            gone = failure
        failures.append(failure)
    with os.fdopen(verdict, "wb") as stream_out:
        stream_out.write(json.dumps(failures).encode())


def _failure_of_import(link: _Link) -> str:
    try:
        link.read()
    except SolverGoneError as error:
        return f"solution gone at import: {error}"
    except Exception as error:  # any error of the solution's own code
        return f"solution failed at import: {_name(error)}"[:200]
    return ""


def _run_test(link: _Link, test: str, entry_points: list[str]) -> str:
    try:
        tree = ast.parse(test)
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names: dict[str, Any] = {"__name__": "tests"}
        # Only declared names resolve in the solver: a helper that it defines under the name of
        # one in the test would otherwise decide the verdict.
        for name in sorted(used & set(entry_points)):
            reply = link.ask({"op": "get", "name": name})
            names[name] = decode(reply["value"], link.resolve)
        exec(compile(tree, "test", "exec"), names)
    except SolverGoneError as error:
        return f"solution gone: {error}"
    except BaseException as error:
        return _name(error)
    return ""


def _name(error: BaseException) -> str:
    """The error in words; its text may hold an answer of the solution that cannot be printed."""
    try:
        return f"{type(error).__name__}: {error}"[:200]
    except BaseException:  # e.g. an integer of more digits than Python converts
        return type(error).__name__


def _raise_like(reply: dict[str, Any]) -> None:
    """Raise the closest built-in exception, so that tests of error cases work."""
    for name in reply["error"]:
        kind = getattr(builtins, str(name), None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            raise kind(str(reply.get("message")))
    raise SolutionError(str(reply["error"])[:200])


def _refer(value: object) -> dict[str, Any]:
    if type(value) is Proxy:
        return {"ref": [value._ref]}
    raise TypeError(f"a test passes a {type(value).__name__}, which is not plain data")


def _reflect(mine: Any, theirs: Any) -> None:
    """Show in the test's own argument what the call did to the solver's copy."""
    if type(mine) is not type(theirs):
        return
    if type(mine) is list or type(mine) is bytearray:
        mine[:] = theirs
    elif type(mine) in (dict, set):
        mine.clear()
        mine.update(theirs)
