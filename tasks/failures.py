"""What a stage that failed says: one message with its name and what to do."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from infra.faults import describe_fault

_OURS = ("k2core.", "schemas.")


class StageFailedError(RuntimeError):
    """A stage did not come to its end; the message is all that a person needs to read."""


@contextmanager
def told(stage: str) -> Iterator[None]:
    """Says of what fails inside that it was this stage, and what to do.

    With `K2_DEBUG` set the traceback is printed: Flyte hands on an error's name and text alone.

    Raises:
        StageFailedError: from the error.
    """
    try:
        yield
    except StageFailedError:
        raise
    except Exception as error:
        if "K2_DEBUG" in os.environ:
            traceback.print_exception(error, file=sys.stderr)
        raise StageFailedError(f"{stage}: {describe_failure(error)}") from error


def describe_failure(error: BaseException) -> str:
    """What went wrong and what to do, on one line or a few."""
    if fault := describe_fault(error):
        return fault
    said, kind = str(error).strip(), type(error)
    if kind.__module__.startswith(_OURS) and issubclass(kind, ValueError | LookupError):
        return said  # our own say what would be right
    return (
        f"{kind.__name__}: {_brief(said)}\nWhat was done is kept: the same command goes on from "
        "there. Where it is an error of the code, `--debug` shows the place."
    )


def _brief(said: str) -> str:
    """Without another process' traceback: what comes before it, and the error that ended it."""
    before, found, trace = said.partition("Traceback (most recent call last):")
    if not found or "K2_DEBUG" in os.environ:
        return said
    last = [line for line in trace.splitlines() if line and not line[0].isspace()]
    return f"{before.strip()} {last[0] if last else ''}".strip()
