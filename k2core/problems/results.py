"""Reading a tool's result as an expert does."""

import json
from typing import Any


class UnexpectedResultError(ValueError):
    """A tool answered what no working tool would; an expert gives up on it."""


def read_result(text: str) -> str:
    """The value of a successful call, as it is repeated in an answer.

    Raises:
        ValueError: the call failed.
    """
    fields: dict[str, Any] = json.loads(text)
    if "result" not in fields:
        raise UnexpectedResultError(f"not a result: {text}")
    return str(fields["result"])


def read_suggestion(text: str) -> str | None:
    """The key that a failed call suggests."""
    suggestion = json.loads(text).get("did_you_mean")
    return None if suggestion is None else str(suggestion)


def is_busy(text: str) -> bool:
    """Whether the same call may succeed when it is made again."""
    return bool(json.loads(text).get("error") == "busy")
