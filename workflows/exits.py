"""How a command ends on an error that the user can mend."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from infra.runs import TrackingAwayError
from workflows.errors import MendableError


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns errors that the user can mend into one plain message, without a traceback."""
    from k2core.store import ArtifactCorruptError, ArtifactMissingError

    try:
        yield
    except (MendableError, TrackingAwayError, ArtifactCorruptError, ArtifactMissingError) as error:
        raise fail(str(error)) from None


def fail(message: str) -> typer.Exit:
    """The exit of a command that says what was wrong."""
    typer.secho(f"error: {message}", fg="red", err=True)
    return typer.Exit(2)
