"""Errors that the user can mend; the command shows them as one plain message."""

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import InputsError


class MendableError(Exception):
    """Something asked for that is not there or makes no sense; the message says what would be."""


class BadRecipeError(MendableError, ValueError):
    """A recipe that says something impossible; the message names each field."""


class NotRecordedError(MendableError, LookupError):
    """A run, stage or artifact that is not recorded."""


class NoProblemsError(MendableError):
    """A source of problems that cannot be used; says why."""


@contextmanager
def inputs_as_asked() -> Iterator[None]:
    """An artifact that somebody asked about and this code does not read is no fault of the code.

    Raises:
        NotRecordedError: what the `InputsError` says.
    """
    try:
        yield
    except InputsError as error:
        raise NotRecordedError(str(error)) from error
