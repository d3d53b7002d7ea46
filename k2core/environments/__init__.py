"""Stateful tool simulators: seeded sessions that execute calls and fail at controlled rates."""

from k2core.environments.operations import find_closest
from k2core.environments.own import OWN, OwnEnvironment, OwnWorld, play_own
from k2core.environments.registry import CALLED, ENVIRONMENTS, open_environment
from k2core.environments.results import read_fields, stated_error
from k2core.environments.simulator import (
    Environment,
    Operation,
    Simulator,
    ToolFailedError,
    execute_call,
    result_text,
)

__all__ = [
    "CALLED",
    "ENVIRONMENTS",
    "OWN",
    "Environment",
    "Operation",
    "OwnEnvironment",
    "OwnWorld",
    "Simulator",
    "ToolFailedError",
    "execute_call",
    "find_closest",
    "open_environment",
    "play_own",
    "read_fields",
    "result_text",
    "stated_error",
]
