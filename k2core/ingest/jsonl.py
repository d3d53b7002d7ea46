"""JSON lines, a file that is one such row, and what all formats of rows share."""

import json
import re
from collections.abc import Iterator, Mapping

from k2core.ingest.charset import Decoded, decode, guess_charset, mend_surrogates
from k2core.ingest.feed import ByteFeed, in_utf8
from k2core.ingest.records import About, FileFaultError, Record, RecordFault
from schemas.ingest import FilesConfig

_NAMES = About(
    own_id="id doc_id uuid _id",
    url="url uri source_url",
    date="date timestamp created",
    license="license licence",
    language="language lang",
    score="language_score score",
)
"""What public corpora call the fields that are kept; the first that a row has is taken."""
_ROW = re.compile(r"[^\s,\x1e\0]")
"""What begins a row. Between two of a line is nothing where the line's end was lost, a comma where
a list was cut up, and zeros where a disk lost what was written."""
_DECODER, _LONG = json.JSONDecoder(), json.JSONDecoder(parse_int=str)
_LOOK = 1 << 16
NO_JSON = "no JSON"
_MOST_SIGNS = 2_000
"""Of a kept field; more is no name or address."""


def read_lines(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """A row a line."""
    feed = in_utf8(feed)
    charset = guess_charset(feed.peek(_LOOK), feed.charset)
    number, limit = 0, config.max_document_bytes
    while line := feed.line(limit):
        number += 1
        place = f"line {number}"
        if len(line) > limit and not line.endswith(b"\n"):
            size = len(line) + feed.skip_line()
            yield too_large(place, size, config)
        elif line.strip():
            yield from read_values(place, line, config, charset, cut=True)


def read_blocks(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """Rows over several lines each, indented: one ends with a line that begins with its brace."""
    feed = in_utf8(feed)
    charset = guess_charset(feed.peek(_LOOK), feed.charset)
    number, limit = 0, config.max_document_bytes
    while first := feed.line(limit):
        begun = number = number + 1
        block, size = [first], len(first)
        while not block[-1].startswith(b"}") and (line := feed.line(limit)):
            number, size = number + line.endswith(b"\n"), size + len(line)
            if size > limit:  # nothing of it is kept but where it ends
                block.clear()
            block.append(line)
        place = f"line {begun}"
        if size > limit:
            yield too_large(place, size, config)
        elif any(map(bytes.strip, block)):
            yield from read_values(place, b"".join(block), config, charset)


def read_object(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """A file that is one row."""
    data = feed.read(config.max_document_bytes + 1)
    if len(data) > config.max_document_bytes:
        yield too_large("", len(data), config)
    else:
        yield from read_values("", data, config, feed.charset)


def too_large(place: str, size: int, config: FilesConfig) -> RecordFault:
    """A document that is not held."""
    limit = f"{size} bytes, max_document_bytes={config.max_document_bytes}"
    return RecordFault(place, "larger than max_document_bytes", limit)


def read_row(place: str, row: object, config: FilesConfig) -> Record | RecordFault:
    """The text of a row of any format, with what it says of itself."""
    if not isinstance(row, Mapping):
        return RecordFault(place, "not an object", f"a {type(row).__name__}")
    found: object = row
    if config.text_field in row:
        found = row[config.text_field]
    else:
        for name in config.text_field.split("."):
            if not isinstance(found, Mapping) or name not in found:
                fields = ", ".join(sorted(map(str, row))[:10])
                wanted = f"wanted {config.text_field!r}, found {fields or 'none'}"
                return RecordFault(place, "no text field", wanted)
            found = found[name]
    return record_of(place, found, about_row(row), config)


def record_of(place: str, value: object, about: About, config: FilesConfig) -> Record | RecordFault:
    """A record of a field's value, if it is text."""
    if value is None:
        return RecordFault(place, "the text is null")
    if isinstance(value, Mapping):
        inside = ", ".join(f"{config.text_field}.{name}" for name in sorted(map(str, value))[:10])
        return RecordFault(place, "the text is an object", f"text_field may name one of {inside}")
    if not isinstance(value, str | bytes):
        return RecordFault(place, "the text is no string", f"a {type(value).__name__}")
    try:
        text, repair = decode(value) if isinstance(value, bytes) else mend_surrogates(value)
    except FileFaultError as error:
        return RecordFault(place, "the text is binary", str(error))
    if not text:
        return RecordFault(place, "the text is empty")
    if len(text) > config.max_document_bytes:
        return too_large(place, len(text), config)
    if "\0" in text:
        text, repair = text.replace("\0", ""), repair or "zero bytes removed"
    return Record(place, "text", text, about, repair)


def column_names() -> list[str]:
    """All names of fields that are kept."""
    return [name for names in _NAMES for name in names.split()]


def about_row(row: Mapping[str, object]) -> About:
    """What the row says of itself."""
    return About(*(_first(row, names.split()) for names in _NAMES))


def _first(row: Mapping[str, object], names: list[str]) -> str:
    for name in names:
        value = row.get(name)
        if value is not None and not isinstance(value, Mapping | list | bytes | bool):
            text = mend_surrogates(str(value)).text.replace("\0", "").strip()
            if text and len(text) <= _MOST_SIGNS:
                return text
    return ""


def read_values(
    place: str, data: bytes, config: FilesConfig, charset: str, *, cut: bool = False
) -> Iterator[Record | RecordFault]:
    """The rows of a line or a block: one, or several where a line's end was lost.

    Args:
        place: for messages.
        data: the rows.
        config: of the source.
        charset: what they are in if they are no UTF-8.
        cut: read on where a row begins within another, whose writer was killed and went on.
    """
    number, is_broken = 0, False
    try:
        text, repair = _decode_line(data, charset)
        at = _skip_between(text, 0)
        while at < len(text):
            number += not is_broken
            within = place if number == 1 else f"{place}, row {number}".removeprefix(", ")
            try:
                row, end = _parse(text, at)
            except json.JSONDecodeError as error:
                if not is_broken:
                    yield RecordFault(within, NO_JSON, str(error)[:200])
                is_broken, at = True, _begun_within(text, at, error.pos) if cut else len(text)
                continue
            is_broken, at = False, _skip_between(text, end)
            found = read_row(within, row, config)
            if repair and isinstance(found, Record):
                found = found._replace(repair=found.repair or repair)
            yield found
    except RecursionError:
        yield RecordFault(place, "nested too deep")
    except (ValueError, OverflowError) as error:
        yield RecordFault(place, NO_JSON, str(error)[:200])


def _decode_line(line: bytes, charset: str) -> Decoded:
    try:
        return Decoded(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return decode(line, charset)


def _skip_between(text: str, at: int) -> int:
    found = _ROW.search(text, at)
    return found.start() if found else len(text)


def _begun_within(text: str, at: int, broken: int) -> int:
    """The brace of the row that broke the one before it, or the end.

    In a string that is cut, its first quote ends the string: `{"text": "Rep{"text": "Report"}`.
    """
    begun = text.find("{", max(at + 1, broken - 2), broken + 1)
    return begun if begun >= 0 else len(text)


def _parse(text: str, at: int) -> tuple[object, int]:
    """A value that begins there, and its end."""
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of more digits than Python converts
        return _LONG.raw_decode(text, at)
