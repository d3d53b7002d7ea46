"""Errors that the user can mend; the command shows them as one plain message."""


class MendableError(Exception):
    """Something asked for that is not there or makes no sense; the message says what would be."""


class BadRecipeError(MendableError, ValueError):
    """A recipe that says something impossible; the message names each field."""


class NotRecordedError(MendableError, LookupError):
    """A run, stage or artifact that is not recorded."""


class NoProblemsError(MendableError):
    """A source of problems that cannot be used; says why."""
