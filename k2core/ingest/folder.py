"""Documents of a folder's files, each record with the file and place where it was found."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple, Protocol, TypedDict

from k2core.ingest.compression import open_feed
from k2core.ingest.formats import choose_reader
from k2core.ingest.places import File
from k2core.ingest.records import FileFaultError, Record, RecordFault, UnsupportedError
from k2core.ingest.source import SourceError
from k2core.ingest.web import Download
from schemas.corpus import DocumentRow
from schemas.ingest import FilesConfig


class OriginRow(TypedDict):
    """A row of `schemas.corpus.Origin`."""

    doc_id: str
    file: str
    place: str
    own_id: str
    url: str
    date: str
    language: str
    score: str


class FoundRecord(NamedTuple):
    """A document, and where it is from."""

    document: DocumentRow
    origin: OriginRow
    num_bytes: int
    """Of its text."""


class Hears(Protocol):
    """Hears what becomes of files: `Losses`, or who keeps it for them."""

    def begin_file(self) -> None:
        """One more is read."""

    def add(self, file: str, fault: RecordFault) -> None:
        """Something gives no document."""

    def add_read(self, file: str, place: str, repair: str) -> None:
        """A document, and what had to be mended; empty if nothing."""

    def first_reasons(self) -> str:
        """What gave no document at first, in words."""


def read_files(config: FilesConfig, files: Iterable[File], heard: Hears) -> Iterator[FoundRecord]:
    """Their documents, in order.

    Raises:
        SourceError: something could not be read, and `on_fault` is "error".
    """
    for file in files:
        heard.begin_file()
        names: Counter[str] = Counter()
        for found in read_file(file, config):
            if isinstance(found, Record):
                heard.add_read(file.name, found.place, found.repair)
                yield _row(config, file.name, found, names)
                continue
            heard.add(file.name, found)
            if config.on_fault == "error" and not found.by_rule:
                raise SourceError(f"{config.folder}: {heard.first_reasons()}")


def read_file(file: File, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """The records and faults of one file, which never raises for what is in it."""
    if file.size == 0:
        yield RecordFault("", "the file is empty")
        return
    last, empty = "", True
    try:
        with file.open() as stream:
            size = file.size if file.size >= 0 else _measure(stream)
            opened = open_feed(stream, file.name, size, config)
            opened.feed.charset = stream.charset if isinstance(stream, Download) else ""
            for found in choose_reader(opened.feed, config)(opened.feed, config):
                last, empty = found.place, False
                yield from opened.take_faults()
                yield found
            yield from opened.take_faults()
            if isinstance(stream, Download) and stream.fault:
                yield RecordFault(_after(last), "a download that is cut short", stream.fault)
        if empty:
            yield RecordFault("", "a file without any record", by_rule=True)
    except UnsupportedError as error:
        yield RecordFault("", f"a format without a reader: {error}")
    except FileFaultError as error:
        yield RecordFault(_after(last), _rest(last), str(error))
    except OSError as error:
        yield RecordFault(_after(last), "it cannot be read", _say(error))
    except Exception as error:
        yield RecordFault(_after(last), "a reader failed", _say(error))


def _measure(stream: IO[bytes]) -> int:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return size


def _after(last: str) -> str:
    return f"after {last}" if last else ""


def _rest(last: str) -> str:
    return "the rest of the file cannot be read" if last else "the file cannot be read"


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def _row(config: FilesConfig, file: str, record: Record, names: Counter[str]) -> FoundRecord:
    about, data = record.about, record.text.encode()
    digest = hashlib.sha256(data).hexdigest()
    # By own id or content, so that it stays when a row is inserted before; a whole file by path.
    key = (about.own_id and f"id {about.own_id}") or digest if record.place else ""
    names[key] += 1
    again = f"\0{names[key]}" if names[key] > 1 else ""
    name = f"{config.name}\0{file}\0{key}{again}"
    doc_id = hashlib.sha256(name.encode()).hexdigest()[:16]
    place = about.url or record.place
    document: DocumentRow = {
        "doc_id": doc_id,
        "source": config.name,
        "path": f"{file}#{place}" if place else file,
        "domain": config.domain,
        "format": record.format,
        "license": about.license or config.license,
        "digest": digest,
        "text": record.text,
    }
    origin: OriginRow = {
        "doc_id": doc_id,
        "file": file,
        "place": record.place,
        "own_id": about.own_id,
        "url": about.url,
        "date": about.date,
        "language": about.language,
        "score": about.score,
    }
    return FoundRecord(document, origin, len(data))
