"""What a source is: a list of documents, each read when it is wanted."""

from collections.abc import Callable
from typing import NamedTuple

from schemas.ingest import IngestConfig


class Item(NamedTuple):
    """A document that could be read."""

    path: str
    """Where in the source; unique in it and equal on every machine."""
    read: Callable[[], str]
    """Gives the text."""


class Source(NamedTuple):
    """An installed package that documents come from."""

    name: str
    """The package, or the part of it."""
    domain: str
    format: str
    license: str
    """Of the text, which may differ from the package's."""
    package: str
    """What to install."""
    version: str
    credit: str
    """Who wrote the text, as its licence asks to say."""
    num_wanted: int
    """Documents that the config asks for."""
    list_items: Callable[[IngestConfig], list[Item]]
    """All its documents, without reading them.

    Raises:
        SourceError: it is not there, or not what it should be.
    """


class SourceError(ValueError):
    """A source that cannot be read; the message says what to do."""
