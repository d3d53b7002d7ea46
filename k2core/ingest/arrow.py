"""Arrow files and streams, as `datasets` saves its tables, and Feather: a document a row."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.ipc as ipc

from k2core.ingest.feed import ByteFeed
from k2core.ingest.parquet import BATCH_ROWS, choose_columns, read_batch
from k2core.ingest.records import FileFaultError, Record, RecordFault
from schemas.ingest import FilesConfig

FILE, STREAM = b"ARROW1", b"\xff\xff\xff\xff"
"""How the two begin."""


def read_arrow(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """A document a row; of a damaged file the batches before the damage."""
    batches, number = _batches(feed), 0
    kept = choose_columns(next(batches).schema, config.text_field)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise FileFaultError(f"after row {number}: {str(error)[:200]}") from error
        if batch is None:
            return
        for first in range(0, batch.num_rows, BATCH_ROWS):
            rows = batch.slice(first, BATCH_ROWS)
            yield from read_batch(rows, number + first, kept, config)
        number += batch.num_rows


def _batches(feed: ByteFeed) -> Iterator[pa.RecordBatch]:
    """An empty one for the schema, then all, each looked through before anything reads it."""
    try:
        if feed.peek(len(FILE)) == FILE:
            file = ipc.open_file(feed.seekable())
            found = (file.get_batch(at) for at in range(file.num_record_batches))
        else:
            found = file = ipc.open_stream(feed.seekable())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FileFaultError(f"no Arrow file: {str(error)[:200]}") from error
    yield pa.RecordBatch.from_pylist([], schema=file.schema)
    for batch in found:
        batch.validate(full=True)
        yield batch
