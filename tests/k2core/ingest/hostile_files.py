"""Hostile and odd files of rows and other formats."""

import bz2
import gzip
import json
import lzma
from collections.abc import Mapping

import pyarrow as pa

from tests.k2core.ingest.files import (
    epub,
    flipped_parquet,
    members,
    office,
    page,
    parquet,
    response,
    rows,
    skippable,
    text,
    zstd,
    zstd_by_dictionary,
)
from tests.k2core.ingest.hostile import (
    CUT,
    FROM,
    LARGE,
    MAIL,
    MIXED,
    NO_PDF,
    ODD_MAIL,
    PAGE_MAIL,
    RU,
    SURROGATES,
    UNREADABLE,
    Case,
    P,
    T,
)

FILES: Mapping[str, Case] = {
    # JSON
    "surrogate": Case(
        "a.jsonl",
        rows(1) + b'{"text": "bad \\ud83d end"}\n' + rows(3),
        [T[1], "bad \ufffd end", T[3]],
        repaired=[SURROGATES],
    ),
    "surrogate_pair": Case("a.jsonl", b'{"text": "\\ud83d\\ude00"}\n', ["😀"]),
    "nested": Case(
        "a.jsonl",
        rows(1) + b'{"text": "x", "m": ' + b"[" * 20_000 + b"]" * 20_000 + b"}\n" + rows(3),
        [T[1], T[3]],
        {"nested too deep": 1},
    ),
    "one_of_1000": Case(
        "a.jsonl",
        rows(*range(5)) + b'{"text": "cut\n' + rows(*range(5, 1000)),
        [text(n) for n in range(1000)],
        {"no JSON": 1},
    ),
    "types": Case(
        "a.jsonl",
        MIXED + rows(2),
        [T[2]],
        {
            "the text is null": 1,
            "the text is no string": 2,
            "the text is an object": 1,
            "no text field": 1,
            "not an object": 1,
            "the text is empty": 1,
        },
    ),
    "nested_field": Case(
        "a.jsonl",
        b'{"data": {"text": "inside"}}\n{"data": 3}\n',
        ["inside"],
        {"no text field": 1},
        field="data.text",
    ),
    "array": Case(
        "a.json",
        json.dumps([{"text": T[1]}, {"text": 3}, {"text": T[2]}], indent=1).encode(),
        T[1:3],
        {"the text is no string": 1},
    ),
    "array_in_jsonl": Case(
        "a.jsonl", json.dumps([{"text": T[1]}, {"text": T[2]}]).encode(), T[1:3]
    ),
    "array_cut": Case(
        "a.json",
        json.dumps([{"text": T[1]}, {"text": T[2]}]).encode()[:-20],
        [T[1]],
        {"the rest of the file cannot be read": 1},
    ),
    "array_deep": Case(
        "a.json",
        b'[{"text": "one"}, {"text": "x", "m": '
        + b"[" * 20_000
        + b"]" * 20_000
        + b'}, {"text": "two"}]',
        ["one", "two"],
        {"nested too deep": 1},
    ),
    "array_open": Case("a.json", b"[" * 300_000, [], {UNREADABLE: 1}),
    "object": Case("a.json", json.dumps({"text": T[1]}, indent=1).encode(), [T[1]]),
    "big_integer": Case(
        "a.jsonl", b'{"id": ' + b"9" * 6000 + b', "text": "x"}\n' + rows(2), ["x", T[2]]
    ),
    "c4": Case(
        "c4-train.00000.json.gz", gzip.compress(rows(*range(200))), [text(n) for n in range(200)]
    ),
    "bz2": Case("a.jsonl.bz2", bz2.compress(rows(1)) + bz2.compress(rows(2)), T[1:3]),
    "xz": Case("a.jsonl.xz", lzma.compress(rows(1)) + lzma.compress(rows(2)), T[1:3]),
    "gzip_members": Case("a.jsonl.gz", members(rows(1), rows(2)), T[1:3]),
    "gzip_padded": Case("a.jsonl.gz", members(rows(1)) + bytes(512), [T[1]]),
    "zstd_frames": Case("a.jsonl.zst", zstd(rows(1)) + zstd(rows(2)), T[1:3]),
    "compressed_without_ending": Case("a.jsonl", gzip.compress(rows(1)), [T[1]]),
    "rows_in_txt": Case("dump.txt", rows(1, 2), T[1:3]),
    "line_too_long": Case(
        "a.jsonl", rows(1) + b'{"text": "' + b"x" * 60_000 + b'"}\n' + rows(2), T[1:3], {LARGE: 1}
    ),
    "cp1252_row": Case(
        "a.jsonl", '{"text": "naïve café"}\n'.encode("cp1252") + rows(2), ["naïve café", T[2]]
    ),
    "control_signs": Case("a.jsonl", b'{"text": "a\x01b"}\n' + rows(2), [T[2]], {"no JSON": 1}),
    "gz_cut": Case(
        "cut.jsonl.gz",
        gzip.compress(rows(1, 2), compresslevel=0)[:-30],
        [T[1]],
        {CUT: 1, "no JSON": 1},
    ),
    "bomb": Case("bomb.txt.gz", gzip.compress(bytes(40_000_000)), [], {LARGE: 1}),
    "bomb_lines": Case(
        "bomb.jsonl.gz",
        gzip.compress(rows(1) + (b" " * 9999 + b"\n") * 4_000),
        [T[1]],
        {"the rest of the file cannot be read": 1},
    ),
    "bz2_bad_stream": Case(
        "a.jsonl.bz2",
        bz2.compress(rows(1)) + bz2.compress(rows(2))[:-9] + bz2.compress(rows(3)),
        [T[1], T[3]],
        {"a member of bzip2 is damaged": 1},
    ),
    "bz2_cut": Case(
        "a.jsonl.bz2", bz2.compress(rows(1)) + bz2.compress(rows(2))[:-9], T[1:3], {CUT: 1}
    ),
    "xz_bad_stream": Case(
        "a.jsonl.xz",
        lzma.compress(rows(1)) + lzma.compress(rows(2))[:-30] + lzma.compress(rows(3)),
        [T[1], T[3]],
        {"a member of xz is damaged": 1},
    ),
    "xz_cut": Case(
        "a.jsonl.xz",
        lzma.compress(rows(1)) + bytes(4) + lzma.compress(rows(2))[:-9],
        T[1:3],
        {CUT: 1},
    ),
    "zstd_bad_frame": Case(
        "a.jsonl.zst",
        zstd(rows(1)) + zstd(rows(2))[:-8] + b"\xff" * 8 + zstd(rows(3)),
        [T[1], T[3]],
        {"a member of zstd is damaged": 1},
    ),
    "zstd_cut": Case("a.jsonl.zst", zstd(rows(1)) + zstd(rows(2))[:-8], [T[1]], {CUT: 1}),
    "zstd_skipped": Case(
        "a.jsonl.zst", skippable(b"abcd") + zstd(rows(1)) + skippable(b"") + zstd(rows(2)), T[1:3]
    ),
    "zstd_dictionary": Case("a.warc.zst", zstd_by_dictionary(*map(response, range(1, 4))), P[1:4]),
    "zstd_magic": Case(
        "a.zst",
        b"\x28\xb5\x2f\xfd" * 10_000,
        [],
        {"a member of zstd is damaged": 1, CUT: 1, "the file is empty": 1},
    ),
    "bz2_then_garbage": Case(
        "a.jsonl.bz2", bz2.compress(rows(1)) + b"oh", [T[1]], {"bytes between bzip2 members": 1}
    ),
    "gzip_in_gzip": Case(
        "a.jsonl.gz",
        gzip.compress(gzip.compress(rows(1))),
        [],
        {"a format without a reader: a gzip file inside another, or a damaged one": 1},
    ),
    "not_gzip": Case("a.txt.gz", b"plain", [], {UNREADABLE: 1}),
    # Parquet
    "pq_dictionary": Case(
        "a.parquet", parquet(pa.table({"text": pa.array(T).dictionary_encode()})), T
    ),
    "pq_large": Case("a.parquet", parquet(pa.table({"text": pa.array(T, pa.large_string())})), T),
    "pq_view": Case("a.parquet", parquet(pa.table({"text": pa.array(T, pa.string_view())})), T),
    "pq_binary": Case(
        "a.parquet",
        parquet(
            pa.table({"text": pa.array([T[1].encode(), RU.encode("cp1251"), b"\0\1\2\3" * 9])})
        ),
        [T[1], RU],
        {"the text is binary": 1},
    ),
    "pq_int": Case("a.parquet", parquet(pa.table({"text": [1, 2, 3]})), [], {UNREADABLE: 1}),
    "pq_list": Case(
        "a.parquet", parquet(pa.table({"text": [[t] for t in T]})), [], {UNREADABLE: 1}
    ),
    "pq_struct": Case(
        "a.parquet", parquet(pa.table({"text": [{"content": t} for t in T]})), [], {UNREADABLE: 1}
    ),
    "pq_nested": Case(
        "a.parquet",
        parquet(pa.table({"data": [{"text": T[0]}, None, {"text": T[1]}]})),
        T[:2],
        {"the text is null": 1},
        field="data.text",
    ),
    "pq_null": Case(
        "a.parquet",
        parquet(pa.table({"text": pa.array([T[0], None, T[2]])})),
        [T[0], T[2]],
        {"the text is null": 1},
    ),
    "pq_no_column": Case("a.parquet", parquet(pa.table({"body": T})), [], {UNREADABLE: 1}),
    "pq_flipped": Case(
        "a.parquet", flipped_parquet(), [*T[:2], *T[4:]], {"a row group is damaged": 2}
    ),
    "pq_bad_utf8": Case(
        "a.parquet",
        parquet(pa.table({"text": T}), compression="none", use_dictionary=False).replace(
            T[1].encode()[:9], b"\xff" + T[1].encode()[1:9]
        ),
        [T[0], "ÿ" + T[1][1:], *T[2:]],
    ),
    "pq_garbage": Case("a.parquet", b"PAR1 not quite", [], {UNREADABLE: 1}),
    "pq_named_otherwise": Case("train-00000", parquet(pa.table({"text": T})), T),
    # Other formats
    "csv": Case(
        "a.csv",
        b'id,text\n1,"one, ""two""\nthree"\n2\n3,four\n',
        ['one, "two"\nthree', "four"],
        {"a row of other columns": 1},
    ),
    "csv_semicolons": Case("a.csv", "id;text\n1;naïve\n".encode("cp1252"), ["naïve"]),
    "tsv": Case("a.tsv", b"text\tn\none\t1\n", ["one"]),
    "csv_no_column": Case("a.csv", b"id,body\n1,x\n", [], {UNREADABLE: 1}),
    "csv_open_quote": Case(
        "a.csv",
        b'id,text\n1,one\n2,"' + b"x" * 60_000 + b"\n3,three\n",
        ["one", "three"],
        {LARGE: 1},
    ),
    "markdown": Case("a.md", b"# Title\n\n" + T[1].encode(), ["# Title\n\n" + T[1]]),
    "php": Case("a.php", page(1), [P[1]]),
    "no_ending": Case(
        "index", b"\n<!-- x --><!DOCTYPE html>" + page(1), ["\n<!-- x --><!DOCTYPE html>" + P[1]]
    ),
    "pdf": Case("a.pdf", b"%PDF-1.4\n1 0 obj", [], {NO_PDF: 1}),
    "pdf_named_txt": Case("a.txt", b"%PDF-1.4\n1 0 obj", [], {NO_PDF: 1}),
    "docx": Case("a.docx", office(), [], {NO_PDF: 1}),
    "png": Case("a.txt", b"\x89PNG\r\n", [], {"a format without a reader: an image": 1}),
    "binary": Case("a.dat", bytes(range(256)) * 20, [], {UNREADABLE: 1}),
    "epub": Case("a.epub", epub(1, 2), [P[2], P[1]]),
    "eml": Case("a.eml", MAIL, ["Zażółć gęślą jaźń.\r\n"]),
    "mail_in_txt": Case("00012.txt", MAIL, ["Zażółć gęślą jaźń.\r\n"]),
    "mbox": Case(
        "in.mbox",
        FROM + MAIL + b"\n" + FROM + b"To: x\nSubject: y\n\nSecond.\n>From me\n",
        ["Zażółć gęślą jaźń.\r\n\n", "Second.\nFrom me\n"],
    ),
    "mail_odd_headers": Case("a.eml", ODD_MAIL, ["Body.\n"]),
    "mail_html": Case("a.eml", PAGE_MAIL, [P[1]]),
    "empty": Case("a.txt", b"", [], {"the file is empty": 1}),
    # Denial of service
    "parens": Case("a.txt", b"(" * 50_000, ["(" * 50_000]),
    "page_of_comments": Case("a.txt", b"<!--" * 12_000, ["<!--" * 12_000]),
    "mail_parameters": Case(
        "a.eml",
        b'From: a\nContent-Type: multipart/mixed; boundary=x; a="'
        + b';"' * 15_000
        + b"\n\n--x\n\nHi.\n",
        ["Hi."],
    ),
    "gzip_magic": Case("a.gz", b"\x1f\x8b\x08" * 100_000, [], {CUT: 1, "the file is empty": 1}),
    "meta_without_end": Case("a.html", b"<meta " * 8_000, ["<meta " * 8_000]),
}
