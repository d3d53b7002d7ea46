# ruff: noqa: RUF001 - signs that look alike are the matter here
"""Odd files of rows: indented, glued, cut up; tables by Arrow; notebooks; what has no reader."""

import io
import json
import tarfile
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.feather as feather

from tests.k2core.ingest.files import parquet, rows
from tests.k2core.ingest.hostile import LARGE, SURROGATES, UNREADABLE, Case, T

_TABLE = pa.table({"text": T[1:4], "url": ["https://a.example", None, "https://c.example"]})

_DATES = pa.array([0, 2**60, None], pa.timestamp("us"))
_WORDS = ["Вода", "Насос", "Комитет", "Город", "Река", "Озеро", "Мост", "Улица", "Дом", "Школа"]


def _indented(*numbers: int) -> bytes:
    return b"\n".join(json.dumps({"m": {}, "text": T[n]}, indent=2).encode() for n in numbers)


def _stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    return sink.getvalue()


def _feather(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    feather.write_feather(table, sink)
    return sink.getvalue()


def _damaged(data: bytes) -> bytes:
    """The second batch's offsets point beyond its text."""
    place = data.index(T[2].encode()) - 64 + 4
    return data[:place] + b"\xff\xff\xff\x7f" + data[place + 4 :]


def _tar() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return sink.getvalue()


def _notebook(*cells: Mapping[str, object]) -> bytes:
    about = {"kernelspec": {"language": "python"}}
    return json.dumps({"nbformat": 4, "metadata": about, "cells": cells}).encode()


_OUTPUT = {"data": {"image/png": "iVBORw0KGgo" * 99}}
_CODE = {"cell_type": "code", "source": ["x = 1\n", "x"], "outputs": [_OUTPUT]}
_PROSE = {"cell_type": "markdown", "source": "# Title\n\nWords."}
_SHEETS = {"worksheets": [{"cells": [{"cell_type": "code", "input": "x"}]}]}

ROWS: Mapping[str, Case] = {
    # several lines a row
    "indented": Case("a.json", _indented(1, 2, 3), T[1:4]),
    "indented_lines": Case("a.jsonl", _indented(1, 2) + b"\n\n" + _indented(3) + b"\n", T[1:4]),
    "indented_crlf": Case("a.jsonl", _indented(1, 2).replace(b"\n", b"\r\n"), T[1:3]),
    "indented_broken": Case(
        "a.json",
        b"\n".join((_indented(1), b'{\n  "text": oh\n}', _indented(2))),
        T[1:3],
        {"no JSON": 1},
    ),
    "indented_large": Case(
        "a.json",
        b"\n".join((_indented(1), b'{\n  "text": [' + b"\n1," * 40_000 + b"1]\n}", _indented(2))),
        T[1:3],
        {LARGE: 1},
    ),
    "indented_open": Case("a.json", b"{\n" * 20_000, [], {"no JSON": 1}),
    # several rows a line
    "cut_in_its_text": Case("a.jsonl", rows(1)[:-40] + rows(2, 3), T[2:4], {"no JSON": 1}),
    "cut_in_a_name": Case("a.jsonl", rows(0) + rows(1)[:4] + rows(2), [T[0], T[2]], {"no JSON": 1}),
    "cut_behind_its_text": Case("a.jsonl", rows(1)[:-2] + rows(2), [T[2]], {"no JSON": 1}),
    "quotes_within": Case(
        "a.jsonl", b'{"text": "he said {"hello"} to me"}\n' + rows(1), [T[1]], {"no JSON": 1}
    ),
    "zeros_between": Case("a.jsonl", rows(1).strip() + bytes(64) + rows(2), T[1:3]),
    "glued": Case("a.jsonl", rows(1).strip() + rows(2).strip() + b"\n" + rows(3), T[1:4]),
    "commas_left": Case("a.jsonl", rows(1, 2, 3).replace(b"}\n", b"},\n"), T[1:4]),
    "carriage_returns": Case("a.jsonl", rows(1, 2, 3).replace(b"\n", b"\r"), T[1:4]),
    "text_sequence": Case("a.json", b"\x1e" + rows(1) + b"\x1e" + rows(2), T[1:3]),
    "words_after": Case("a.jsonl", rows(1).strip() + b" oh\n" + rows(2), T[1:3], {"no JSON": 1}),
    "comments": Case("a.jsonl", b"# rows\n" + rows(1, 2), T[1:3], {"no JSON": 1}),
    "utf16_no_mark": Case("a.jsonl", rows(1, 2).decode().encode("utf-16-be"), T[1:3]),
    "short_1251": Case(
        "a.jsonl", "".join(f'{{"text": "{word}"}}\n' for word in _WORDS).encode("cp1251"), _WORDS
    ),
    # columns
    "pq_far_date": Case("a.parquet", parquet(_TABLE.append_column("date", _DATES)), T[1:4]),
    "pq_two_columns": Case(
        "a.parquet",
        parquet(pa.Table.from_arrays([T, T], names=["text", "text"])),
        [],
        {UNREADABLE: 1},
    ),
    "pq_encrypted": Case(
        "a.bin", b"PARE" + bytes(9), [], {"a format without a reader: an encrypted parquet file": 1}
    ),
    # arrays whose rows are read as those of lines are
    "array_nan": Case(
        "a.json", b'[{"text": "one", "score": NaN}, {"text": "two"}]', ["one", "two"]
    ),
    "array_marked": Case("a.json", b'\xef\xbb\xbf\n[{"text": "one"}]', ["one"]),
    "array_surrogate": Case(
        "a.json", b'[{"text": "bad \\ud83d end"}]', ["bad \ufffd end"], repaired=[SURROGATES]
    ),
    "array_big_integer": Case(
        "a.json", b'[{"id": ' + b"9" * 6000 + b', "text": "x"}, {"text": "y"}]', ["x", "y"]
    ),
    "array_cp1252": Case(
        "a.json", '[{"text": "naïve"},\n{"text": "two"}]'.encode("cp1252"), ["naïve", "two"]
    ),
    "array_of_one_bad_row": Case(
        "a.json",
        b'[\n{"text": "one"},\n{"text": oh},\n{"text": "two"}\n{"text": "three"},]',
        ["one", "two", "three"],
        {"no JSON": 1},
    ),
    "array_quote_left_open": Case(
        "a.json",
        b'[{"text": "one"},\n{"text": "oh},\n{"text": "three"}\n]',
        ["one", "three"],
        {"no JSON": 1},
    ),
    "array_brace_left_open": Case(
        "a.json",
        json.dumps([{"text": "one", "m": {}}, {"text": "x", "m": {}}, {"text": "two"}], indent=1)
        .replace('"x",\n  "m": {}\n }', '"x",\n  "m": {\n }')
        .encode(),
        ["one", "two"],
        {"no JSON": 1},
    ),
    "array_large_row": Case(
        "a.json",
        json.dumps([{"text": "one"}, {"text": "x" * 300_000}, {"text": "two"}], indent=1).encode(),
        ["one", "two"],
        {LARGE: 1},
    ),
    "arrays": Case("a.jsonl", b'[{"text": "one"}]\n[{"text": "two"}]\n', ["one", "two"]),
    "array_without_end": Case(
        "a.json", b'[{"text": "one"},', ["one"], {"the rest of the file cannot be read": 1}
    ),
    "array_of_rows_that_do_not_end": Case(
        "a.json",
        b"[" + b'\n{"a": [' * 20_000,
        [],
        {"no JSON": 8, "the rest of the file cannot be read": 1},
    ),
    # tables
    "csv_told": Case("a.csv", b"sep=;\r\nid;text\r\n1;a, b\r\n", ["a, b"]),
    "csv_bars": Case("a.csv", b"id|text\n1|a, b; c\n", ["a, b; c"]),
    "csv_tabs": Case("a.csv", b'id\t"text"\n1\ta, b\n', ["a, b"]),
    "csv_remarks": Case("a.csv", b"\n# from us\n,,\nid,text\n1,one\n", ["one"]),
    "csv_ends": Case("a.csv", b"id,text,\n1,one,\n2,two\n3,three,,\n", ["one", "two", "three"]),
    "csv_carriage_returns": Case("a.csv", b"id,text\r1,one\r2,two", ["one", "two"]),
    "csv_backslashes": Case(
        "a.csv", b'id,text\n1,"say \\"hi\\", now"\n2,"C:\\"\n', ['say "hi", now', "C:\\"]
    ),
    "csv_zero": Case("a.csv", b"id,text\n1,o\0ne\n", ["one"], repaired=["zero bytes removed"]),
    "csv_utf16_no_mark": Case(
        "a.csv", "id,text\n1,one\n2,two\n".encode("utf-16-le"), ["one", "two"]
    ),
    "csv_short_1251": Case("a.csv", ("text\n" + "\n".join(_WORDS)).encode("cp1251"), _WORDS),
    "csv_told_marked": Case("a.csv", b"\xef\xbb\xbfsep=,\ntext,n\none,1\n", ["one"]),
    "csv_spaced": Case("a.csv", b"id, text \n1,one\n", ["one"]),
    "csv_quote_left_open": Case(
        "a.csv", b'id,text\n1,"one\n2,two\n3,three\n', ["two", "three"], {"no row of the table": 1}
    ),
    "csv_quotes_within": Case(
        "a.csv",
        b'text,n\n"one" more,1\nsay "two",2\n"a, ""b""\nc",3\n',
        ["one more", 'say "two"', 'a, "b"\nc'],
    ),
    "csv_long_line": Case(
        "a.csv", b"n,text\n1," + b"x" * 60_000 + b"\n2,two\n", ["two"], {LARGE: 1}
    ),
    "csv_two_columns": Case("a.csv", b"text,text\none,two\n", [], {UNREADABLE: 1}),
    "tsv_quotes": Case(
        "a.tsv",
        b'text\tn\n"one\t1\n"two" x\t2\n5" wide\t3\n"a\tb\nc"\t4\n',
        ['"one', '"two" x', '5" wide', "a\tb\nc"],
    ),
    "arrow": Case("data-00000-of-00001.arrow", _stream(_TABLE), T[1:4]),
    "arrow_dictionary": Case(
        "a.arrow", _stream(pa.table({"text": pa.array(T[1:3]).dictionary_encode()})), T[1:3]
    ),
    "arrow_named_otherwise": Case("cache-1f", _stream(_TABLE), T[1:4]),
    "arrow_cut": Case(
        "a.arrow",
        _stream(_TABLE)[:-200],
        T[1:3],
        {"the rest of the file cannot be read": 1},
    ),
    "arrow_no_column": Case("a.arrow", _stream(pa.table({"body": T})), [], {UNREADABLE: 1}),
    "arrow_empty": Case("a.arrow", b"\xff\xff\xff\xff", [], {UNREADABLE: 1}),
    "feather": Case("a.feather", _feather(_TABLE), T[1:4]),
    "feather_cut": Case("a.feather", _feather(_TABLE)[:-9], [], {UNREADABLE: 1}),
    # notebooks
    "notebook": Case(
        "a.ipynb",
        _notebook(_PROSE, _CODE, {"cell_type": "code", "source": []}),
        ["# Title\n\nWords.\n\n```python\nx = 1\nx\n```"],
    ),
    "notebook_old": Case("a.ipynb", json.dumps(_SHEETS).encode(), ["```\nx\n```"]),
    "notebook_empty": Case("a.ipynb", b'{"cells": [3, {"source": 4}]}', [], {"no notebook": 1}),
    "notebook_broken": Case("a.ipynb", b'{"cells": [', [], {"no notebook": 1}),
    # no reader
    "tar": Case("a.tar", _tar(), [], {"a format without a reader: a tar archive": 1}),
    "wikipedia": Case(
        "pages.xml",
        b'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/"><page>',
        [],
        {"a format without a reader: a MediaWiki dump, which a converter to text is for": 1},
    ),
}
