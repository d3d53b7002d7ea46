# ruff: noqa: RUF001 - signs that look alike are the matter here
"""Hostile and odd crawls and pages by kind: what is in them, and what is counted beside it."""

import base64
import gzip
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import brotli

from tests.k2core.ingest.files import (
    HTTP,
    chunked,
    members,
    page,
    record,
    response,
    rows,
    text,
    zstd,
)


def meta(charset: str) -> str:
    return f"<meta charset={charset}>"


def encoded(name: str) -> bytes:
    return HTTP + f"\r\nContent-Encoding: {name}".encode()


def typed(name: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {name}".encode()


JA = "東京の水道局は三月に会議を開き、古いポンプが水の三分の一を失っていると報告した。" * 4
ZH = "委员会于三月召开会议，审查本市的供水情况。发现旧水泵损失了三分之一的水。" * 4
KO = "한국어 문서는 도시의 물 공급에 관한 것이다. " * 8
RU = "Комитет собрался в марте, чтобы обсудить водоснабжение города и насосы. " * 6
PL = "Zażółć gęślą jaźń, a potem wróć do domu przed nocą. " * 8
CS = "Příliš žluťoučký kůň úpěl ďábelské ódy. " * 20
T = [text(number) for number in range(6)]
P = [page(number).decode() for number in range(6)]
FROM = b"From a@b Thu Aug 22 12:36:23 2002\n"
ODD_MAIL = (
    b"From: =?x?q?=FF?= <\xff@>\nDate: yesterday\nSubject: \xff\n"
    b"Content-Type: text/plain; charset=nonsense\n\nBody.\n"
)
PAGE_MAIL = (
    b"From: a\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
    + base64.b64encode(page(1))
)
MIXED = (
    b'{"text": null}\n{"text": ["x"]}\n{"text": {"content": "x"}}\n{"text": 3}\n'
    b'{"body": "x"}\n7\n{"text": ""}\n'
)
IMAGE = typed('image/png\r\nLink: <http://a/>; type="text/html"')
MAIL = (
    b"Return-Path: <a@b.org>\r\nReceived: from x\r\nFrom: a@b.org\r\nSubject: hi\r\n"
    b"Message-ID: <m1@b.org>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=iso-8859-2\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Za=BF=F3=B3=E6 g=EA=B6l=B1 =\r\nja=BC=F1.\r\n"
)


NOTHING: Mapping[str, int] = {}


class Case(NamedTuple):
    """A file, the documents that are in it, and what is counted beside them."""

    name: str
    data: bytes
    texts: Sequence[str]
    lost: Mapping[str, int] = NOTHING
    left_out: Mapping[str, int] = NOTHING
    repaired: Sequence[str] = ()
    field: str = "text"


def html(words: str, head: str = "") -> str:
    return f"<html><head>{head}</head><body><p>{words}</p></body></html>"


LARGE = "larger than max_document_bytes"
UNREADABLE = "the file cannot be read"
CUT = "the compressed stream is cut short"
NO_TEXT = "a type that is no text"
NO_PDF = "the file cannot be read"
NO_ZIP = "a format without a reader: a ZIP archive, or a document of an office program"
BROKEN = "a page that cannot be decoded"
UNDECODABLE = "undecodable bytes replaced"
SURROGATES = "lone surrogates replaced"
CUT_PAGE = "a page that is cut short"
CHUNKED = HTTP + b"\r\nTransfer-Encoding: chunked"


def _long(data: bytes) -> bytes:
    """A record that says to be far longer than it is."""
    return data.replace(b"Content-Length: ", b"Content-Length: 99")


WEB: Mapping[str, Case] = {
    # WARC
    "warc_chunked": Case("a.warc", response(1, CHUNKED, chunked(page(1))), [P[1]]),
    "warc_chunked_lies": Case("a.warc", response(1, CHUNKED), [P[1]]),
    "warc_gzip": Case(
        "a.warc", response(1, encoded("gzip"), gzip.compress(page(1))) + response(2), P[1:3]
    ),
    "warc_gzip_chunked": Case(
        "a.warc",
        response(
            1,
            HTTP + b"\r\nContent-Encoding: x-gzip\r\nTransfer-Encoding: chunked",
            chunked(gzip.compress(page(1))),
        ),
        [P[1]],
    ),
    "warc_gzip_lies": Case("a.warc", response(1, encoded("gzip")), [P[1]]),
    "warc_deflate": Case("a.warc", response(1, encoded("deflate"), zlib.compress(page(1))), [P[1]]),
    "warc_deflate_raw": Case(
        "a.warc", response(1, encoded("deflate"), zlib.compress(page(1))[2:-4]), [P[1]]
    ),
    "warc_brotli": Case("a.warc", response(1, encoded("br"), brotli.compress(page(1))), [P[1]]),
    "warc_zstd": Case("a.warc", response(1, encoded("zstd"), zstd(page(1))), [P[1]]),
    "warc_gzip_damaged": Case(
        "a.warc",
        response(1, encoded("gzip"), b"\x1f\x8b\x08\0\xff\xff\xff") + response(2),
        [P[2]],
        {BROKEN: 1},
    ),
    "warc_video": Case(
        "a.warc",
        response(1) + response(2, typed("video/mp4"), bytes(60_000)) + response(3),
        [P[1], P[3]],
        left_out={NO_TEXT: 1},
    ),
    "warc_large_page": Case(
        "a.warc",
        response(1) + response(2, HTTP, b"<p>" + b"x" * 60_000) + response(3),
        [P[1], P[3]],
        {LARGE: 1},
    ),
    "warc_bomb": Case(
        "a.warc",
        response(1, encoded("gzip"), gzip.compress(bytes(10_000_000))) + response(2),
        [P[2]],
        {LARGE: 1},
    ),
    "warc_utf16_page": Case(
        "a.warc",
        response(1)
        + response(2, HTTP + b"; charset=utf-16", page(2).decode().encode("utf-16"))
        + response(3),
        P[1:4],
    ),
    "warc_image": Case(
        "a.warc",
        response(1) + response(2, IMAGE, b"\x89PNG\0\0") + response(3),
        [P[1], P[3]],
        left_out={NO_TEXT: 1},
    ),
    "warc_404": Case(
        "a.warc",
        response(1, b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html") + response(2),
        [P[2]],
        left_out={"an HTTP status other than 2xx": 1},
    ),
    "warc_xhtml": Case("a.warc", response(1, typed("application/xhtml+xml")), [P[1]]),
    "warc_no_type": Case("a.warc", response(1, b"HTTP/1.1 200 OK\r\nServer: x"), [P[1]]),
    "warc_resource": Case(
        "a.warc",
        record(page(1), "resource", "Content-Type: text/html\r\n")
        + record(T[2].encode(), "resource", "Content-Type: text/plain\r\n"),
        [P[1], T[2]],
    ),
    "warc_others": Case(
        "a.warc",
        record(b"x", "warcinfo")
        + record(b"GET / HTTP/1.1\r\n\r\n", "request")
        + record(b"", "revisit")
        + record(b"a: b", "metadata")
        + response(1),
        [P[1]],
    ),
    "warc_plain": Case("a.warc", response(1, typed("text/plain"), T[1].encode()), [T[1]]),
    "wet": Case(
        "a.warc.wet", record(T[1].encode(), "conversion", "Content-Type: text/plain\r\n"), [T[1]]
    ),
    "warc_lf": Case(
        "a.warc", (response(1) + response(2) + response(3)).replace(b"\r\n", b"\n"), P[1:4]
    ),
    "warc_upper": Case(
        "a.warc", response(1, b"HTTP/1.1 200 OK\r\nCONTENT-TYPE: TEXT/HTML; CHARSET=UTF-8"), [P[1]]
    ),
    "warc_1251": Case(
        "a.warc",
        response(1, HTTP + b"; charset=windows-1251", html(RU).encode("cp1251")),
        [html(RU)],
    ),
    "warc_cut_in_sign": Case(
        "a.warc",
        response(1, HTTP, ("<html><p>" + CS.strip()).encode() + b"\xc5"),
        ["<html><p>" + CS.strip()],
        repaired=[UNDECODABLE],
    ),
    "warc_members": Case("a.warc.gz", members(*map(response, range(1, 6))), P[1:6]),
    "warc_bad_member": Case(
        "a.warc.gz",
        members(response(1)) + members(response(2))[:-20] + members(response(3), response(4)),
        [P[1], P[3], P[4]],
        {"a member of gzip is damaged": 1},
    ),
    "warc_cut_and_gone_on": Case(
        "a.warc",
        response(1) + response(2)[:-60] + response(3),
        [P[1], P[3]],
        {"a WARC record is cut short": 1},
    ),
    "warc_cut": Case(
        "a.warc", response(1) + response(2)[:-30], [P[1]], {"a WARC record is cut short": 1}
    ),
    "warc_gz_cut": Case(
        "a.warc.gz",
        members(response(1)) + members(response(2))[:-12],
        [P[1]],
        {CUT: 1, "a WARC record is cut short": 1},
    ),
    "warc_length_large": Case(
        "a.warc",
        response(1)
        + response(2).replace(b"Content-Length: ", b"Content-Length: 1")
        + response(3) * 20,
        [P[1], P[2]] + [P[3]] * 20,
    ),
    "warc_length_small": Case(
        "a.warc",
        response(1) + record(HTTP + b"\r\n\r\n" + page(2), length=70) + response(3),
        P[1:4],
    ),
    "warc_no_length": Case(
        "a.warc",
        response(1) + response(2).replace(b"Content-Length", b"X-Length") + response(3),
        [P[1], P[3]],
        {"a WARC record without a length": 1},
    ),
    "warc_garbage": Case(
        "a.warc",
        response(1) + b"garbage\r\n\xff\0\r\n" + response(3),
        [P[1], P[3]],
        {"bytes that are no WARC record": 1},
    ),
    "warc_sjis": Case(
        "a.warc",
        response(1) + response(2, HTTP, html(JA, meta("Shift_JIS")).encode("cp932")) + response(3),
        [P[1], html(JA, meta("Shift_JIS")), P[3]],
    ),
    "warc_chunked_oddly": Case(
        "a.warc",
        response(1, CHUNKED, chunked(page(1)).replace(b"14\r\n", b"0014 ;a=b\r\n"))
        + response(2, CHUNKED, chunked(page(2)).replace(b"\r\n", b"\n")),
        P[1:3],
    ),
    "warc_chunked_cut": Case(
        "a.warc",
        response(1, CHUNKED, chunked(page(1))[:50])
        + response(2, CHUNKED, chunked(page(2)).replace(b"\r\n14\r\n", b"\r\nzz\r\n", 1)),
        [P[1][:40], P[2][:20]],
        repaired=[CUT_PAGE, CUT_PAGE],
    ),
    "warc_said_to_be_cut": Case(
        "a.warc",
        record(HTTP + b"\r\n\r\n" + page(1), extra="WARC-Truncated: length\r\n"),
        [P[1]],
        repaired=[CUT_PAGE],
    ),
    "warc_lengths_too_large": Case(
        "a.warc",
        _long(record(b"GET / HTTP/1.1\r\n\r\n", "request"))
        + _long(response(1))
        + _long(response(0, IMAGE, b"\x89PNG"))
        + _long(record(HTTP + b"\r\n\r\n", "revisit"))
        + response(2),
        P[1:3],
        left_out={NO_TEXT: 1},
    ),
    "warc_zstd_bomb": Case(
        "a.warc",
        response(1, encoded("zstd"), zstd(bytes(9_000_000))) + response(2),
        [P[2]],
        {LARGE: 1},
    ),
    "warc_zstd_cut": Case(
        "a.warc",
        response(1, encoded("zstd"), zstd(page(1))[:-9]) + response(2),
        [P[2]],
        {BROKEN: 1},
    ),
    "warc_plain_encoding_lies": Case(
        "a.warc",
        response(1, typed("text/plain") + b"\r\nContent-Encoding: utf-8", T[1].encode())
        + response(2, typed("text/plain") + b"\r\nContent-Encoding: gzip", T[2].encode()),
        T[1:3],
    ),
    "warc_continue": Case(
        "a.warc", response(1, b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" + HTTP), [P[1]]
    ),
    "warc_http2": Case("a.warc", response(1, b"HTTP/2 200\r\ncontent-type: text/html"), [P[1]]),
    "warc_marked": Case("a.warc", b"\xef\xbb\xbf" + response(1), [P[1]]),
    "warc_utf16_declared": Case(
        "a.warc",
        response(1, HTTP + b"; charset=utf-16le", html(JA).encode("utf-16-le")),
        [html(JA)],
    ),
    "wat": Case(
        "a.warc.wat",
        record(b"{}", "metadata", "Content-Type: application/json\r\n"),
        [],
        left_out={"a file without any record": 1},
    ),
    "warc_name_lies": Case("crawl.dat", response(1), [P[1]]),
    # Encodings
    "gb18030": Case(
        "a.html", html(ZH, meta("gb2312")).encode("gb18030"), [html(ZH, meta("gb2312"))]
    ),
    "cp1251": Case(
        "a.html", html(RU, meta("windows-1251")).encode("cp1251"), [html(RU, meta("windows-1251"))]
    ),
    "latin2": Case(
        "a.html", html(PL, meta("iso-8859-2")).encode("iso-8859-2"), [html(PL, meta("iso-8859-2"))]
    ),
    "latin1_is_1252": Case(
        "a.html",
        html("“No”, he said – naïve", meta("iso-8859-1")).encode("cp1252"),
        [html("“No”, he said – naïve", meta("iso-8859-1"))],
    ),
    "meta_lies": Case(
        "a.html",
        html("Zürich’s café", meta("iso-8859-1")).encode(),
        [html("Zürich’s café", meta("iso-8859-1"))],
    ),
    "meta_lies_utf8": Case(
        "a.html", html(RU, meta("utf-8")).encode("cp1251"), [html(RU, meta("utf-8"))]
    ),
    "xml_declaration": Case(
        "a.xhtml",
        b'<?xml version="1.0" encoding="koi8-r"?>' + html(RU).encode("koi8-r"),
        ['<?xml version="1.0" encoding="koi8-r"?>' + html(RU)],
    ),
    "undeclared_sjis": Case("a.html", html(JA).encode("cp932"), [html(JA)]),
    "undeclared_euckr": Case(
        "a.txt",
        KO.encode("euc-kr"),
        [KO],
    ),
    "undeclared_1251": Case("a.txt", RU.encode("cp1251"), [RU]),
    "undeclared_1252": Case("a.txt", "naïve".encode("cp1252"), ["naïve"]),
    "iso2022jp": Case(
        "a.html",
        html(JA, meta("iso-2022-jp")).encode("iso2022_jp"),
        [html(JA, meta("iso-2022-jp"))],
    ),
    "iso2022jp_undeclared": Case("a.txt", JA.encode("iso2022_jp"), [JA]),
    "iso2022kr": Case(
        "a.html",
        html(KO, meta("iso-2022-kr")).encode("iso2022_kr"),
        [html(KO, meta("iso-2022-kr"))],
    ),
    "hz": Case("a.html", html(ZH, meta("hz-gb-2312")).encode("hz"), [html(ZH, meta("hz-gb-2312"))]),
    "utf7": Case(
        "a.eml", b"From: a\nContent-Type: text/plain; charset=utf-7\n\n" + RU.encode("utf-7"), [RU]
    ),
    "utf16_html": Case("a.html", P[1].encode("utf-16"), [P[1]]),
    "utf16_txt": Case("a.txt", T[1].encode("utf-16"), [T[1]]),
    "utf16be_no_mark": Case("a.txt", T[1].encode("utf-16-be"), [T[1]]),
    "utf32_txt": Case("a.txt", T[1].encode("utf-32"), [T[1]]),
    "utf16_jsonl": Case("a.jsonl", rows(1, 2).decode().encode("utf-16"), T[1:3]),
    "one_bad_byte": Case(
        "a.txt", CS.encode() + b"\xff" + CS.encode(), [CS + "\ufffd" + CS], repaired=[UNDECODABLE]
    ),
    "zero_in_html": Case(
        "a.html", page(1).replace(b"worker", b"wor\0ker"), [P[1]], repaired=["zero bytes removed"]
    ),
    "bom_crlf": Case("a.jsonl", b"\xef\xbb\xbf" + rows(1, 2).replace(b"\n", b"\r\n"), T[1:3]),
    "unknown_charset": Case(
        "a.html", html(RU, meta("x-nonsense")).encode(), [html(RU, meta("x-nonsense"))]
    ),
    "no_text_codec": Case(
        "a.html", html(T[1], meta("base64")).encode(), [html(T[1], meta("base64"))]
    ),
}
