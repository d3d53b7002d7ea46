"""Bytes to text as browsers do: byte order mark, declared charset, then Firefox's detector.

Unlike in browsers, UTF-8 goes before what is declared: text that is valid UTF-8 and not ASCII is
hardly ever anything else, and declarations lie.
"""

import codecs
import re
from typing import NamedTuple

from chardetng_py import EncodingDetector

from k2core.ingest.records import FileFaultError
from k2core.ingest.wide import find_wide

UNDECODABLE = "undecodable bytes replaced"
SURROGATES = "lone surrogates replaced"
ZEROS = "zero bytes removed"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# The names that encoding.spec.whatwg.org gives another meaning than Python does.
_LABELS = {
    "ascii": "cp1252", "us-ascii": "cp1252", "iso-8859-1": "cp1252", "iso8859-1": "cp1252",
    "latin1": "cp1252", "latin-1": "cp1252", "l1": "cp1252", "x-cp1252": "cp1252",
    "iso-8859-9": "cp1254", "latin5": "cp1254", "iso-8859-11": "cp874", "tis-620": "cp874",
    "windows-874": "cp874", "windows-31j": "cp932", "shift_jis": "cp932", "shift-jis": "cp932",
    "sjis": "cp932", "x-sjis": "cp932", "ms_kanji": "cp932", "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949", "ksc5601": "cp949", "windows-949": "cp949", "gb2312": "gb18030",
    "gbk": "gb18030", "x-gbk": "gb18030", "gb_2312-80": "gb18030", "big5": "big5hkscs",
    "big5-hkscs": "big5hkscs", "x-x-big5": "big5hkscs", "x-mac-roman": "mac_roman",
    "macintosh": "mac_roman", "x-mac-cyrillic": "mac_cyrillic", "iso-8859-8-i": "iso-8859-8",
    "utf8": "utf-8", "unicode-1-1-utf-8": "utf-8", "utf-16": "utf-16-le", "x-euc-jp": "euc-jp",
}  # fmt: skip
_TEXT_CODEC = re.compile(
    r"(utf-?(7|8|16|32)|cp\d|windows-|iso-?8859|iso2022_(jp|kr)|koi8|mac|gb18030|big5|euc|shift|johab|tis|hz)"
)
_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.I)
_XML = re.compile(rb"""^\s*<\?xml[^>]{0,100}?encoding\s*=\s*["']([\w.:-]{1,40})""")
_COMMENT = re.compile(rb"<!--.*?-->", re.S)
_SHIFTED = ((b"\x1b", "iso2022_jp"), (b"\x0e", "iso2022_kr"), (b"~{", "hz"), (b"+", "utf-7"))
_JAPANESE = re.compile(rb"\x1b\$[@B][!-~]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_META_WITHIN = 4096
_SAMPLE = 1 << 18
_HIGH = bytes(range(128, 256))
_LEAST_SIGNS = 10
_FEW = 0.02
"""Share of bad signs that a declared charset may leave before it is taken for a lie."""


class Decoded(NamedTuple):
    """Text, and what had to be mended to have it."""

    text: str
    repair: str = ""


def decode(data: bytes, label: str = "") -> Decoded:
    """Text of bytes that are declared to be `label`.

    Raises:
        FileFaultError: it is no text.
    """
    for mark, codec in _BOMS:
        if data.startswith(mark):
            return _finish(data[len(mark) :], codec)
    declared = codec_of(label)
    if shifted := _find_shifted(data, declared):
        return _finish(data, shifted)
    wide = find_wide(data)
    if wide and not looks_binary(data.decode(wide, "replace").encode()):
        return _finish(data, wide)
    if looks_binary(data):
        if declared.startswith(("utf-16", "utf-32")) and _fits(data[: 4 * _META_WITHIN], declared):
            return _finish(data, declared)
        raise FileFaultError("it is binary, no text")
    try:
        return _without_zeros(Decoded(data.decode("utf-8")))
    except UnicodeDecodeError:
        pass
    if _is_nearly_utf8(data, declared):
        return _finish(data, "utf-8")
    if declared and declared != "utf-8":
        found = _finish(data, declared)
        if found.text.count("\ufffd") <= _FEW * len(found.text):
            return found
    return _finish(data, detect(data))


def guess_charset(sample: bytes, label: str) -> str:
    """What rows that are no UTF-8 are in: as declared, else as their first ones look together.

    One alone has too few signs to tell.
    """
    if label or sample.isascii() or "\ufffd" not in sample.decode("utf-8", "replace")[:-1]:
        return label
    return detect(sample)


def decode_html(data: bytes, label: str = "") -> Decoded:
    """A page: what HTTP declares goes before what the page does."""
    return decode(data, label if codec_of(label) else _declared_inside(data))


def codec_of(label: str) -> str:
    """Python's name of a charset; empty if it has none, or if it is no charset of texts."""
    name = label.strip(" \t\r\n\"'").lower()
    name = _LABELS.get(name, name)
    try:
        found = codecs.lookup(name).name if name.isascii() and name else ""
    except (LookupError, ValueError):
        return ""
    return found if _TEXT_CODEC.match(found) else ""


def detect(data: bytes) -> str:
    """What Firefox would take an undeclared page for, UTF-8 apart."""
    detector = EncodingDetector()
    sample = data[:_SAMPLE]
    detector.feed(sample, last=True)
    # So few signs tell nothing: what is commonest is likeliest then, as for a page of .us.
    few = len(sample) - len(sample.translate(None, _HIGH)) < _LEAST_SIGNS
    return codec_of(detector.guess(tld=b"us" if few else None, allow_utf8=False)) or "cp1252"


def mend_surrogates(text: str) -> Decoded:
    """Text that can be written: halves of a pair are joined, and alone become U+FFFD."""
    if text.isascii() or not _SURROGATE.search(text):
        return Decoded(text)
    found = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return Decoded(found, SURROGATES)


def looks_binary(data: bytes) -> bool:
    """Whether too many of the first bytes are control characters."""
    head = data[:_META_WITHIN]
    controls = len(head.translate(None, _NO_CONTROLS))
    return controls > 0.02 * len(head) + 1


_NO_CONTROLS = bytes(byte for byte in range(256) if byte >= 32 or byte in b"\t\n\r\f\v\b\x1b")


def _declared_inside(data: bytes) -> str:
    head = data[:_META_WITHIN]
    xml = _XML.search(head)
    meta = _META.search(_COMMENT.sub(b"", head))
    label = (meta or xml)[1].decode("ascii", "ignore") if meta or xml else ""  # type: ignore[index]
    # A page whose declaration can be read is not in UTF-16.
    return "utf-8" if codec_of(label).startswith("utf-16") else label


def _find_shifted(data: bytes, declared: str) -> str:
    """A charset whose bytes are ASCII's between signs that shift out of it, if that is what it is.

    Declared or not for ISO-2022-JP, in which old mails are.
    """
    for mark, codec in _SHIFTED:
        if mark not in data:
            continue
        if declared == codec and (mark in b"\x1b\x0e" or _fits(data, codec)):
            return codec
        if codec == "iso2022_jp" and _JAPANESE.search(data) and _fits(data, codec):
            return codec
    return ""


def _fits(data: bytes, codec: str) -> bool:
    """Whether it is text of it throughout, but for a sign that is cut at the end."""
    try:
        text = codecs.getincrementaldecoder(codec)().decode(data)
    except UnicodeDecodeError:
        return False
    return not looks_binary(text.encode("utf-8", "replace"))


def _is_nearly_utf8(data: bytes, declared: str) -> bool:
    """A page cut within a sign, or with a few bad bytes among many good ones."""
    text = data[:_SAMPLE].decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = sum(1 for sign in text if sign > "\x7f") - bad
    return good > (1 if declared == "utf-8" else 4) * bad


def _finish(data: bytes, codec: str) -> Decoded:
    text = data.decode(codec, "replace")
    if text.endswith("\ufffd") and codec != "cp1252":  # cut within a sign
        text = text[:-1]
        return _without_zeros(Decoded(text, UNDECODABLE))
    bad = "\ufffd" in text and "\ufffd".encode() not in data
    return _without_zeros(Decoded(text, UNDECODABLE if bad else ""))


def _without_zeros(found: Decoded) -> Decoded:
    if "\0" not in found.text:
        return found
    return Decoded(found.text.replace("\0", ""), found.repair or ZEROS)
