"""Errors that say to a person what to change: in recipe or texts, or on a disk that is full."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What a system says of a disk without room."""


class InputsError(ValueError):
    """A stage cannot work on its inputs; the message says what to change in recipe or texts."""


class NoRoomError(OSError):
    """A disk is full.

    Args:
        path: what could not be written.
        num_bytes: that it takes.
    """

    def __init__(self, path: str | Path, num_bytes: int) -> None:
        super().__init__(errno.ENOSPC, f"it takes {num_bytes:,} bytes", str(path))


@contextmanager
def room_for(path: str | Path, num_bytes: int) -> Iterator[None]:
    """Says what a write wanted where the disk has no room for it.

    Raises:
        NoRoomError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL and not isinstance(error, NoRoomError):
            raise NoRoomError(path, num_bytes) from error
        raise
