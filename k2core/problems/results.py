"""Reading a tool's result as an expert does."""

from k2core.environments import read_fields, stated_error


class UnexpectedResultError(ValueError):
    """A tool answered what no working tool would; an expert gives up on it."""


def read_result(text: str) -> str:
    """The value of a successful call, as it is repeated in an answer.

    Raises:
        UnexpectedResultError: the call failed.
    """
    fields = read_fields(text) or {}
    if "result" not in fields:
        raise UnexpectedResultError(f"not a result: {text}")
    return str(fields["result"])


def read_suggestion(text: str) -> str | None:
    """The key that a failed call suggests."""
    suggestion = (read_fields(text) or {}).get("did_you_mean")
    return None if suggestion is None else str(suggestion)


def is_busy(text: str) -> bool:
    """Whether the same call may succeed when it is made again."""
    return stated_error(text) == "busy"
