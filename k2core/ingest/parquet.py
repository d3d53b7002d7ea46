"""Parquet: a text column of strings or bytes, row group by row group, few rows at a time."""

from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from k2core.ingest.feed import ByteFeed
from k2core.ingest.jsonl import about_row, column_names, record_of, too_large
from k2core.ingest.records import FileFaultError, Record, RecordFault
from schemas.ingest import FilesConfig

_NO_VALUE = (pa.ArrowException, ArithmeticError, ValueError, LookupError)
_BATCH_BYTES = 4_000_000
BATCH_ROWS = 256
"""Rows that are held as Python's values."""


def read_parquet(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """A document a row; of a row group that is damaged the rows before the damage."""
    table = _open(feed.seekable())
    kept = choose_columns(table.schema_arrow, config.text_field)
    first = 0
    for group in range(table.metadata.num_row_groups):
        about = table.metadata.row_group(group)
        number, num_rows = first, about.num_rows
        rows = min(BATCH_ROWS, max(1, _BATCH_BYTES * num_rows // max(1, about.total_byte_size)))
        try:
            for batch in table.iter_batches(
                rows, [group], [config.text_field, *kept], use_threads=False
            ):
                for found in read_batch(batch, number, kept, config):
                    yield found
                    number += 1
        except (pa.ArrowException, OSError, ValueError) as error:
            lost = first + num_rows - number
            place = f"rows {number + 1} to {first + num_rows}"
            yield RecordFault(place, "a row group is damaged", str(error)[:200], num=max(1, lost))
        first += num_rows


def _open(stream: IO[bytes]) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(stream)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FileFaultError(f"no parquet: {str(error)[:200]}") from error


def choose_columns(schema: pa.Schema, text_field: str) -> list[str]:
    """The columns that are kept beside the text.

    Raises:
        FileFaultError: there is no column of text.
    """
    column = _find_column(schema, text_field)
    once = {name for name in schema.names if schema.names.count(name) == 1}
    return [name for name in column_names() if name in once and name != column.name]


def _find_column(schema: pa.Schema, name: str) -> pa.Field:
    """The column that holds the text or the object in which it is, checked for its type."""
    top, *inner = [name] if name in schema.names else name.split(".")
    if top not in schema.names:
        raise FileFaultError(f"no column {name!r}: it has {', '.join(_leaves(schema)[:20])}")
    if schema.names.count(top) > 1:
        raise FileFaultError(f"several columns {top!r}")
    field = schema.field(top)
    kind = field.type
    for part in inner:
        if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
            raise FileFaultError(f"no column {name!r}: {top} is {kind}")
        kind = kind.field(part).type
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_struct(value):
        inside = [f"{name}.{value.field(at).name}" for at in range(value.num_fields)]
        raise FileFaultError(f"column {name!r} is an object: name one of {', '.join(inside)}")
    if not (_is_text(value) or pa.types.is_null(value)):
        raise FileFaultError(f"column {name!r} is {value}: name a column of strings or bytes")
    return field


def _leaves(schema: pa.Schema) -> list[str]:
    """Columns, and the fields of those that are objects."""
    found = []
    for field in schema:
        inside = field.type if pa.types.is_struct(field.type) else []
        found += [f"{field.name}.{each.name}" for each in inside] or [field.name]
    return found


def _is_text(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary,
        pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary,
    )  # fmt: skip
    return any(test(kind) for test in tests)


def read_batch(
    batch: pa.RecordBatch, number: int, kept: Sequence[str], config: FilesConfig
) -> Iterator[Record | RecordFault]:
    """A document a row, the first of which has so many rows before it."""
    columns = {name: _as_told(batch.column(batch.schema.get_field_index(name))) for name in kept}
    whole = config.text_field in batch.schema.names
    top, *inner = [config.text_field] if whole else config.text_field.split(".")
    texts = batch.column(batch.schema.get_field_index(top))
    for part in inner:
        texts = texts.flatten()[texts.type.get_field_index(part)]
    values = _as_values(texts)
    for row in range(batch.num_rows):
        place = f"row {number + row + 1}"
        value = values[row]
        if isinstance(value, bytes) and len(value) > config.max_document_bytes:
            yield too_large(place, len(value), config)
        else:
            about = about_row({name: _as_text(found[row]) for name, found in columns.items()})
            yield record_of(place, value, about, config)


def _as_values(array: pa.Array) -> list[object]:
    """Python's values; strings as bytes, since what a damaged file calls UTF-8 may not be."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.binary_view())
    elif _is_text(array.type) and not pa.types.is_fixed_size_binary(array.type):
        large = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
        array = array.cast(pa.large_binary() if large else pa.binary())
    found: list[object] = array.to_pylist()
    return found


def _as_told(array: pa.Array) -> list[object]:
    """Values beside the text; None in place of what Python has no value for, such as far dates."""
    try:
        return _as_values(array)
    except _NO_VALUE:
        return [_value_of(each) for each in array]


def _value_of(scalar: pa.Scalar) -> object:
    try:
        found: object = scalar.as_py()
    except _NO_VALUE:
        return None
    return found


def _as_text(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
