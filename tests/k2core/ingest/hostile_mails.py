"""Odd mails, mailboxes and books."""

import io
import zipfile
from collections.abc import Mapping

from tests.k2core.ingest.files import page
from tests.k2core.ingest.hostile import FROM, MAIL, Case, P

_HEAD = b"From: a@b.org\nTo: c@d.org\nSubject: x\nMIME-Version: 1.0\n"
_PLAIN, _PAGE = b"Content-Type: text/plain\n", b"Content-Type: text/html\n"
_INNER = b"Content-Type: message/rfc822\n\nFrom: x\nSubject: s\n\n"
_XHTML = "application/xhtml+xml"


def _parts(kind: str, *parts: bytes) -> bytes:
    bound = kind.encode()
    head = b"Content-Type: multipart/%s; boundary=%s\n\n" % (bound, bound)
    return head + b"".join(b"--%s\n%s\n" % (bound, part) for part in parts) + b"--%s--\n" % bound


def _both(plain: bytes) -> bytes:
    return _parts("alternative", _PLAIN + b"\n" + plain, _PAGE + b"\n" + page(1))


def _book(files: Mapping[str, str], *chapters: tuple[str, str]) -> bytes:
    """Of files that lie beside a package whose spine has chapters, each with its media type."""
    items = "".join(
        f'<item id="c{n}" href="{name}" media-type="{kind}"/>'
        for n, (name, kind) in enumerate(chapters)
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters) + 1))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf">'
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as book:
        for name, data in {"b.opf": package, **files, "mimetype": "application/epub+zip"}.items():
            book.writestr(name, data)
    return sink.getvalue()


_DATED = b"From A B <c@d> Thu, 22 Aug 2002 12:36 +0200\n"
_ONE = _PLAIN + b"\nOne.\n"
_MISSED = "a mail without text"
_FILE = b"Content-Disposition: inline; filename=a.log\n"

MAILS: Mapping[str, Case] = {
    "mail_of_parts": Case(
        "a.eml",
        _HEAD + _parts("mixed", _ONE, _PLAIN + _FILE + b"\nNo.", _PLAIN + b"\nTwo."),
        ["One.\n\nTwo."],
    ),
    "mail_forwarded": Case(
        "a.eml",
        _HEAD + _parts("mixed", _PLAIN + b"\nSee:", _INNER.strip() + b"\n" + _both(b"Inner.")),
        ["See:\n\nInner."],
    ),
    "mail_digest": Case(
        "a.eml", _HEAD + _parts("digest", _INNER + b"1.", _INNER + b"2."), ["1.\n\n2."]
    ),
    "mail_of_alternatives": Case("a.eml", _HEAD + _both(b"Plain."), ["Plain."]),
    "mail_with_nothing_plain": Case("a.eml", _HEAD + _both(b" \n"), [P[1]]),
    "mail_base64_cut": Case(
        "a.eml",
        _HEAD + _PLAIN + b"Content-Transfer-Encoding: base64\n\nT25lIHR3\nb!",
        ["One tw"],
        repaired=["base64 that is cut short"],
    ),
    "mail_soft_breaks": Case(
        "a.eml",
        _HEAD + _PLAIN + b"Content-Transfer-Encoding: quoted-printable\n\nca=C3=\n=A9 a=3Db=\n.",
        ["caé a=b."],
    ),
    "mail_marked": Case("a.eml", b"\xef\xbb\xbf" + _HEAD + b"\nBody.\n", ["Body.\n"]),
    "mail_without_headers": Case("a.eml", b"Some words.\n\nMore.\n", ["Some words.\n\nMore.\n"]),
    "mail_boundary_lies": Case(
        "a.eml", _HEAD + _parts("mixed", _ONE).replace(b"--mixed", b"--x"), [], {_MISSED: 1}
    ),
    "mail_in_mails": Case(
        "a.eml",
        _HEAD + b"".join(b"Content-Type: a/b; boundary=%d\n\n--%d\n" % (n, n) for n in range(1200)),
        [],
        {_MISSED: 1},
    ),
    "mbox_sentence": Case(
        "in.mbox",
        FROM + _HEAD + b"\nHello.\n\nFrom time to time: yes.\n\nBye.\n\n" + FROM + MAIL,
        ["Hello.\n\nFrom time to time: yes.\n\nBye.\n\n", "Zażółć gęślą jaźń.\r\n"],
    ),
    "mbox_without_gaps": Case(
        "in.mbox",
        b"\xef\xbb\xbf\n" + FROM + _HEAD + b"\nOne.\n" + FROM + _HEAD + b"\nTwo.\n",
        ["One.\n", "Two.\n"],
    ),
    "mbox_senders": Case(
        "in.mbox",
        FROM + _HEAD + b"\n1\n\nFrom me\n" + _HEAD + b"\n2\n\n" + _DATED + b"3",
        ["1\n\n", "2\n\n", "3"],
    ),
    "epub_spine_broken": Case(
        "a.epub",
        _book({"c1.xhtml": P[1]}, ("c1.xhtml#x", _XHTML), ("c2.xhtml", _XHTML)),
        [P[1]],
        {"a chapter that is not in the book": 1},
    ),
    "epub_names": Case(
        "a.epub",
        _book(
            {"C1.xml": P[1], "c2.html": P[2]}, ("c1.xml", _XHTML), ("c2.html", ""), ("x.svg", "")
        ),
        P[1:3],
    ),
    "epub_empty_chapter": Case(
        "a.epub",
        _book({"c1.html": " ", "c2.html": P[2]}, ("c1.html", ""), ("c2.html", "")),
        [P[2]],
        left_out={"an empty chapter": 1},
    ),
    "epub_encrypted": Case(
        "a.epub",
        _book({"c1.html": "".join(map(chr, range(128))) * 9}, ("c1.html", "")),
        [],
        {"a chapter is damaged": 1},
    ),
}
