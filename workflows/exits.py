"""How a command ends on an error that the user can mend."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from infra.runs import TrackingAwayError
from workflows.errors import MendableError

_OF_INPUTS = ("InputsError", "SourceError", "TableError", "BlockListError")
"""Errors of stages that say what to mend in the recipe or in the files."""


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns errors that the user can mend into one plain message, without a traceback."""
    try:
        yield
    except Exception as error:
        known: tuple[type[Exception], ...] = (MendableError, TrackingAwayError, *_store_errors())
        if isinstance(error, known) or _is_of_inputs(error):
            raise fail(str(error)) from None
        raise


class PlainErrors(TyperGroup):
    """A group of commands, each within `plain_errors`."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with plain_errors():
            return super().invoke(ctx)


def _is_of_inputs(error: Exception) -> bool:
    """Whether a stage refused what it was given, as Flyte hands it on: by its class's name."""
    if "flyte.errors" not in sys.modules:
        return False
    from flyte.errors import RuntimeUserError

    return isinstance(error, RuntimeUserError) and error.code in _OF_INPUTS


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
