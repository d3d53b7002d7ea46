"""One session of a simulated server: tools with semantics, a state, and faults drawn by a seed."""

import copy
import json
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from pydantic import JsonValue

from schemas.chat import Problem, ToolCall
from schemas.outside import NotJsonError, read_json

Operation = Callable[..., JsonValue]
"""Semantics of a tool: takes the session's data and the arguments in the binding's order."""


class Environment(Protocol):
    """A session that executes calls. Equal problems and equal calls replay bit for bit."""

    @property
    def state(self) -> Mapping[str, JsonValue]:
        """What a verifier of the final state sees."""

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Execute one call; the result as JSON text, errors included."""


class ToolFailedError(Exception):
    """What an operation refuses to do; the model reads the fields as the call's result."""

    def __init__(self, message: str, **fields: JsonValue) -> None:
        super().__init__(message)
        self.fields: dict[str, JsonValue] = {"error": message, **fields}


class Binding(NamedTuple):
    """A tool's semantics: the operation, its argument names in order, and fixed parameters."""

    operation: str
    arguments: tuple[str, ...]
    fixed: dict[str, JsonValue]
    busy_rate: float
    """Chance that a call is answered `busy` and does nothing."""
    timeout_rate: float
    """Chance that a call is answered `timeout`; half of those did what was asked."""
    partial_rate: float
    """Chance that a list is cut to its first half, and says so."""


class Simulator:
    """Executes operations over `problem.state`.

    The state has `tools` (tool name -> operation, argument names, fixed parameters, rates of being
    busy, timing out and answering in part) and `data`, which operations read and change. A tool is
    never busy more than `max_busy` times in a
    row, so that who insists gets through.

    Args:
        operations: semantics by name.
        problem: gives the initial state and the session's seed.
    """

    def __init__(self, operations: Mapping[str, Operation], problem: Problem) -> None:
        self._operations = operations
        self._rng = random.Random(problem.seed)
        state = copy.deepcopy(problem.state)
        self._data: Any = state.get("data", {})
        self._max_busy = int(str(state.get("max_busy", 2)))
        self._busy_in_a_row = 0
        tools: Any = state.get("tools", {})
        self._bindings = {
            name: Binding(
                tool["operation"],
                tuple(tool["arguments"]),
                tool.get("fixed", {}),
                tool.get("busy_rate", 0.0),
                tool.get("timeout_rate", 0.0),
                tool.get("partial_rate", 0.0),
            )
            for name, tool in tools.items()
        }

    @property
    def state(self) -> Mapping[str, JsonValue]:
        """The data as the calls left it."""
        return dict(self._data)

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Execute one call; unknown tools and arguments are answered with an error."""
        try:
            return result_text(self._execute(name, arguments))
        except ToolFailedError as error:
            return result_text(error.fields)

    def _execute(self, name: str, arguments: dict[str, Any]) -> dict[str, JsonValue]:
        binding = self._bindings.get(name)
        if binding is None:
            raise ToolFailedError(f"unknown tool {name}")
        if missing := [a for a in binding.arguments if a not in arguments]:
            raise ToolFailedError(f"missing argument {missing[0]}")
        if unknown := [a for a in arguments if a not in binding.arguments]:
            raise ToolFailedError(f"unknown argument {unknown[0]}")
        if binding.busy_rate and self._is_busy(binding.busy_rate):
            raise ToolFailedError("busy")
        times_out = binding.timeout_rate and self._rng.random() < binding.timeout_rate
        if times_out and self._rng.random() < 0.5:
            raise ToolFailedError("timeout")
        values = [arguments[a] for a in binding.arguments]
        result = self._operations[binding.operation](self._data, *values, **binding.fixed)
        if times_out:
            raise ToolFailedError("timeout")
        if isinstance(result, list) and len(result) > 1 and self._is_cut(binding.partial_rate):
            return {"result": result[: len(result) // 2], "partial": True}
        return {"result": result}

    def _is_cut(self, rate: float) -> bool:
        return bool(rate) and self._rng.random() < rate

    def _is_busy(self, rate: float) -> bool:
        busy = self._rng.random() < rate and self._busy_in_a_row < self._max_busy
        self._busy_in_a_row = self._busy_in_a_row + 1 if busy else 0
        return busy


def execute_call(environment: Environment, call: ToolCall) -> str:
    """Execute a call as the model wrote it; bad JSON is the model's error, not the server's."""
    try:
        arguments = read_json(call.arguments)
    except NotJsonError:
        return result_text({"error": "arguments are not JSON"})
    if not isinstance(arguments, dict):
        return result_text({"error": "arguments are not an object"})
    return environment.call(call.name, arguments)


def result_text(result: Mapping[str, JsonValue]) -> str:
    """A result as compact JSON."""
    return json.dumps(result, separators=(",", ":"), ensure_ascii=False)
