"""How a command ends on an error: one plain message where a person can do something about it."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from typer._click import Context  # what its groups take: no public name has it
from typer.core import TyperGroup

from infra.faults import describe_fault
from infra.home import StoreAwayError
from infra.runs import TrackingAwayError
from workflows.errors import MendableError

DEBUG = "--debug"


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns errors that a person can mend into one plain message, without a traceback."""
    try:
        yield
    except Exception as error:
        message = _describe(error)
        if not message:
            raise
        if "K2_DEBUG" in os.environ:
            traceback.print_exception(error, file=sys.stderr)
        raise fail(message) from None


class PlainErrors(TyperGroup):
    """A group of commands, each within `plain_errors`; `--debug` may stand anywhere."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Bring `--debug` to the front, where the group has it."""
        given = [DEBUG] if DEBUG in args else []
        return super().parse_args(ctx, given + [each for each in args if each != DEBUG])

    def invoke(self, ctx: Context) -> object:
        """Run the command."""
        with plain_errors():
            return super().invoke(ctx)


def _describe(error: Exception) -> str:
    """What to say of an error; empty where only its traceback tells."""
    known: tuple[type[Exception], ...] = (
        MendableError,
        TrackingAwayError,
        StoreAwayError,
        *_store_errors(),
    )
    if isinstance(error, known):
        return str(error)
    return _of_stage(error) or describe_fault(error)


def _of_stage(error: Exception) -> str:
    """What a stage or the pipeline says, as Flyte hands it on: its error's name and text."""
    if "flyte.errors" not in sys.modules:
        return ""
    from flyte.errors import RuntimeUserError

    if not isinstance(error, RuntimeUserError):
        return ""
    if error.code == "StageFailedError":
        return str(error)
    return describe_fault(error) or f"the pipeline ended with {error.code}: {error}"


def _store_errors() -> tuple[type[Exception], ...]:
    """An artifact's, if the store was imported at all: to look at a list does not take it."""
    if "k2core.store" not in sys.modules:
        return ()
    from k2core.store import ArtifactCorruptError, ArtifactMissingError

    return ArtifactCorruptError, ArtifactMissingError


def fail(message: str) -> typer.Exit:
    """The exit of a command that says what was wrong."""
    typer.secho(f"error: {message}", fg="red", err=True)
    return typer.Exit(2)
