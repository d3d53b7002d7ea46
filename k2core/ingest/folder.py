"""Documents of a folder's files, wherever fsspec reaches: local, s3://, gs://, memory://."""

import hashlib
import io
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

import fsspec

from k2core.ingest.records import FileFaultError, Record, read_records
from k2core.ingest.source import SourceError
from k2core.store import let_fsspec_reach_buckets
from schemas.ingest import FilesConfig

_BUFFER = 2**20
"""Bytes; also what knows how to read a line of limited length, as files of buckets do not."""


def read_folder(config: FilesConfig, faults: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """Rows of `Document` in the order of paths; what cannot be read is added to `faults`.

    Raises:
        SourceError: no file is there, or a file is bad and `on_bad_file` is "error".
    """
    let_fsspec_reach_buckets()
    files, root = fsspec.core.url_to_fs(config.folder)
    found = sorted(files.find(root, detail=True).items())
    names = {path: path.removeprefix(root).lstrip("/") for path, _ in found}
    wanted = [(path, each) for path, each in found if fnmatch(names[path], config.pattern)]
    if not wanted:
        raise SourceError(f"{config.folder} holds no files like {config.pattern!r}")
    for path, about in wanted:
        try:
            with io.BufferedReader(files.open(path, "rb"), _BUFFER) as stream:
                records = read_records(stream, path, int(about["size"] or 0), config)
                for number, record in enumerate(records):
                    yield _row(config, names[path], number, record)
        except (FileFaultError, OSError) as error:
            if config.on_bad_file == "error":
                raise SourceError(f"{config.folder}, {names[path]}: {error}") from error
            faults.append({"path": names[path], "fault": str(error)})


def _row(config: FilesConfig, path: str, number: int, record: Record) -> dict[str, Any]:
    # By number: a crawl may hold an address twice.
    place = f"{path}#{record.name}" if record.name else path
    return {
        "doc_id": hashlib.sha256(f"{config.name}\0{path}\0{number}".encode()).hexdigest()[:16],
        "source": config.name,
        "path": place,
        "domain": config.domain,
        "format": record.format,
        "license": config.license,
        "digest": hashlib.sha256(record.text.encode()).hexdigest(),
        "text": record.text,
    }
