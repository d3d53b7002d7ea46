import gzip
import io
import json
from pathlib import Path

import fsspec
import polars as pl
import pyarrow as pa
import pytest
from fsspec.registry import _registry

from k2core.ingest.folder import read_folder
from k2core.ingest.source import SourceError
from k2core.store.bucket import Bucket
from schemas.ingest import FilesConfig

ROWS = b'{"text": "one"}\n{"text": "two"}\n'
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>page</p>"


def warc(kind: str, body: bytes) -> bytes:
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://a.org/\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n\r\n"


def parquet() -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"text": ["p", "q"]}).write_parquet(buffer)
    return buffer.getvalue()


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


GOOD = {
    "a.html": (b"<p>hi</p>", ["<p>hi</p>"]),
    "b.jsonl": (ROWS, ["one", "two"]),
    "c.jsonl.gz": (gzip.compress(ROWS), ["one", "two"]),
    "d.jsonl.zst": (zstd(ROWS), ["one", "two"]),
    "e.parquet": (parquet(), ["p", "q"]),
    "f.warc.gz": (gzip.compress(warc("request", b"x") + warc("response", PAGE)), ["<p>page</p>"]),
    "g.wet": (warc("conversion", "tëxt".encode()), ["tëxt"]),
    "src/h.py": (b"x = 1\n", ["x = 1\n"]),
    "latin.txt": ("naïve".encode("cp1252"), ["naïve"]),
}
POISON = {
    "bomb.txt.gz": (gzip.compress(bytes(40_000_000)), "a bomb|larger than"),
    "cut.jsonl.gz": (gzip.compress(ROWS * 99)[:-12], "cut short"),
    "empty.txt": (b"", "the file is empty"),
    "long.jsonl": (b'{"text": "' + b"x" * 3000 + b'"}', "line 1 is larger than 2000"),
    "no.parquet": (b"PAR1 not quite", "no parquet"),
    "notgzip.txt.gz": (b"plain", "does not decompress"),
    "short.warc": (warc("response", PAGE)[:-9], "cut short"),
    "utf16.txt": ("text".encode("utf-16"), "zero bytes"),
    "wrong.jsonl": (b'{"body": "x"}\n', "line 1 is not an object with the text field 'text'"),
}  # fmt: skip


def write(folder: str, files: dict[str, bytes]) -> None:
    system, root = fsspec.core.url_to_fs(folder)
    for name, data in files.items():
        system.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
        system.pipe_file(f"{root}/{name}", data)


def write_to_bucket(folder: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        Bucket(folder).put(name, data)


@pytest.mark.parametrize("kind", ["folder", "memory", "bucket", "bucket, outside of Flyte"])
def test_every_format_is_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    folder = str(tmp_path) if kind == "folder" else "memory://good"
    files = {name: data for name, (data, _) in GOOD.items()}
    if "bucket" in kind:
        folder = request.getfixturevalue("bucket")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        if "outside" in kind:
            monkeypatch.delitem(_registry, "s3")
        write_to_bucket(folder, files)
    else:
        write(folder, files)
    faults: list[dict[str, str]] = []
    rows = list(read_folder(FilesConfig(folder=folder, license="MIT"), faults))
    assert faults == []
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["path"].split("#")[0], []).append(row["text"])
    assert found == {name: texts for name, (_, texts) in GOOD.items()}
    assert len({row["doc_id"] for row in rows}) == len(rows)
    formats = {row["path"]: row["format"] for row in rows}
    assert formats["f.warc.gz#http://a.org/"] == formats["a.html"] == "html"


def test_every_fault_of_a_poisoned_folder_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    good = {name: data for name, (data, _) in GOOD.items()}
    write(str(tmp_path), good | {name: data for name, (data, _) in POISON.items()})
    config = FilesConfig(folder=str(tmp_path), license="MIT", max_document_bytes=2000)
    faults: list[dict[str, str]] = []
    rows = list(read_folder(config, faults))
    assert {row["path"].split("#")[0] for row in rows} >= GOOD.keys()
    assert [fault["path"] for fault in faults] == sorted(POISON)
    import re

    for fault in faults:
        assert re.search(POISON[fault["path"]][1], fault["fault"]), fault


def test_a_bad_file_stops_where_the_config_says_so(tmp_path: Path) -> None:
    write(str(tmp_path), {"empty.txt": b""})
    config = FilesConfig(folder=str(tmp_path), license="MIT", on_bad_file="error")
    with pytest.raises(SourceError, match=r"empty\.txt: the file is empty"):
        list(read_folder(config, []))
    with pytest.raises(SourceError, match="holds no files like"):
        list(read_folder(config.model_copy(update={"pattern": "*.warc"}), []))
    assert json.loads(config.model_dump_json())["domain"] == "web"
