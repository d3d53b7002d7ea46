"""What a reader of a format yields: records and faults, one at a time.

A record is the unit of failure: what is wrong with one is a `RecordFault` in its place, and the
next one follows. Only what makes the rest of a file unreadable is raised, as a `FileFaultError`.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from k2core.ingest.feed import ByteFeed
from schemas.ingest import FilesConfig


class About(NamedTuple):
    """What a record says of itself; empty where it says nothing."""

    own_id: str = ""
    url: str = ""
    date: str = ""
    license: str = ""
    language: str = ""
    score: str = ""


class Record(NamedTuple):
    """A document in a file."""

    place: str
    """Where in the file, e.g. `line 3`; empty if the file is one document."""
    format: str
    """`text` or `html`."""
    text: str
    about: About = About()
    repair: str = ""
    """What had to be mended to read it; empty if nothing."""


class RecordFault(NamedTuple):
    """Something that gives no document."""

    place: str
    kind: str
    """The reason in words that are counted, without the value at hand."""
    detail: str = ""
    """The value at hand, or what would be right."""
    by_rule: bool = False
    """Left out on purpose, such as an error page; otherwise it is lost."""
    num: int = 1
    """Records that it stands for."""


class FileFaultError(ValueError):
    """What makes the rest of a file unreadable; the message says what."""


class UnsupportedError(FileFaultError):
    """A file of a known format that has no reader here."""


Reader = Callable[[ByteFeed, FilesConfig], Iterator[Record | RecordFault]]
"""Reads one format."""
