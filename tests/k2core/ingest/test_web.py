"""Files behind http://, from a real server on this machine that misbehaves."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from k2core.ingest import web
from k2core.ingest.losses import Losses
from k2core.ingest.source import SourceError
from schemas.ingest import FilesConfig
from tests.k2core.ingest.files import members, page, response, rows
from tests.k2core.ingest.reading import read_folder

ROWS = rows(*range(200))


class _Server(BaseHTTPRequestHandler):
    cuts: ClassVar[list[str]] = []

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def answer(self, data: bytes, status: int = 200, length: int = -1, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data) if length < 0 else length))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self.respond()

    def respond(self) -> None:
        host = self.headers["Host"]
        match self.path.strip("/").split("?")[0]:
            case "rows.jsonl":
                self.answer(ROWS)
            case "crawl.warc.gz":
                self.answer(members(response(7), response(8)))
            case "sjis":
                text = "<html><body><p>こんにちは、世界。今日は天気がいい。</p></body></html>"
                self.answer(text.encode("cp932"), content_type="text/html; charset=shift_jis")
            case "moved":
                self.answer(b"", 302, location=f"http://{host}/rows.jsonl")
            case "loop":
                self.answer(b"", 302, location=f"http://{host}/loop?{time.monotonic_ns()}")
            case "file":
                self.answer(b"", 302, location="ftp://127.0.0.1/x")
            case "inside":
                self.answer(b"", 302, location="http://127.0.0.1:9/")
            case "cut.jsonl":
                self.cuts.append(self.headers.get("Range", ""))
                start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
                stop = min(len(ROWS), start + len(ROWS) // 2 + 1)
                status = 206 if start else 200
                self.answer(ROWS[start:stop], status, length=len(ROWS) - start)
                self.close_connection = True
            case "long.jsonl":
                self.answer(ROWS, length=len(ROWS) + 500)
            case "chunks.jsonl":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"ffff\r\n" + ROWS)
                self.close_connection = True
            case "elsewhere.jsonl" | "changed.jsonl" if self.headers.get("Range"):
                rows = ROWS if self.path.startswith("/e") else ROWS.replace(b"Report", b"Rapport")
                place = f"bytes 1000-{len(rows) - 1}/{len(rows)}"
                self.answer(rows[1000:], 206, content_range=place, etag=self.path[:2])
            case "elsewhere.jsonl" | "changed.jsonl":
                self.cuts.append("")
                whole = len(self.cuts) > 1
                self.answer(ROWS if whole else ROWS[:1000], length=len(ROWS), etag="/e")
                self.close_connection = True
            case "no_length.jsonl":
                self.send_response(200)
                self.send_header("Content-Length", "some")
                self.end_headers()
                self.wfile.write(ROWS)
                self.close_connection = True
            case "%C3%BC%20x.jsonl":
                self.answer(ROWS)
            case "nowhere":
                self.answer(b"", 302, location="http://[::1")
            case "slow":
                self.send_response(200)
                self.end_headers()
                for _ in range(20):
                    self.wfile.write(b"x" * 10)
                    self.wfile.flush()
                    time.sleep(0.05)
            case "endless":
                self.send_response(200)
                self.end_headers()
                for _ in range(100):
                    self.wfile.write(b"x" * 10_000)
            case "huge":
                self.answer(b"x", length=10**12)
            case "page":
                self.answer(page(3), content_type="text/html")
            case name:
                self.answer(b"<html>no</html>", 404 if name == "gone" else 503)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def texts(address: str, **more: object) -> list[str]:
    values = {"folder": address, "license": "MIT", "max_fetch_bytes": 500_000, **more}
    config = FilesConfig.model_validate(values)
    return [found.document["text"] for found in read_folder(config, Losses())]


@pytest.mark.parametrize(
    ("path", "num"),
    [
        ("rows.jsonl", 200),
        ("moved", 200),
        ("cut.jsonl", 200),
        ("crawl.warc.gz", 2),
        ("page", 1),
        ("no_length.jsonl", 200),
        ("ü x.jsonl", 200),
    ],
)
def test_an_address_is_a_file(address: str, path: str, num: int) -> None:
    assert len(texts(f"{address}/{path}")) == num


def test_what_was_cut_is_asked_for_from_there_on(address: str) -> None:
    _Server.cuts.clear()
    texts(f"{address}/cut.jsonl")
    assert _Server.cuts == ["", f"bytes={len(ROWS) // 2 + 1}-"]


@pytest.mark.parametrize("path", ["long.jsonl", "chunks.jsonl"])
def test_what_is_always_cut_is_read_as_far_as_it_goes(address: str, path: str) -> None:
    config = FilesConfig(folder=f"{address}/{path}", license="MIT")
    assert len(list(read_folder(config, losses := Losses()))) == 200
    assert losses.as_json()["lost"] == {"a download that is cut short": 1}


@pytest.mark.parametrize("path", ["elsewhere.jsonl", "changed.jsonl"])
def test_parts_of_other_files_or_places_are_not_joined(address: str, path: str) -> None:
    _Server.cuts.clear()
    found = texts(f"{address}/{path}")
    assert len(found) == len(set(found)) == 200
    assert all(text.startswith("Report") for text in found)


def test_the_header_says_the_charset(address: str) -> None:
    assert "こんにちは" in texts(f"{address}/sjis")[0]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("gone", "HTTP status 404"),
        ("broken", "HTTP status 503"),
        ("loop", "infinite loop"),
        ("nowhere", "Invalid IPv6 URL"),
        ("file", "a redirect to 'ftp://127.0.0.1/x' is refused"),
        ("slow", "not there within 0.3 s"),
        ("endless", "more than max_fetch_bytes"),
        ("huge", "1000000000000 bytes: more than max_fetch_bytes"),
    ],
)
def test_what_cannot_be_fetched_says_why(address: str, path: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        texts(f"{address}/{path}", **({"fetch_seconds": 0.3} if path == "slow" else {}))


def test_a_public_address_leads_into_no_private_network(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first host is taken for a public one; what it redirects to is looked up for real.
    real = web._is_private
    monkeypatch.setattr(web, "_is_private", lambda url: real(url) and not url.endswith("/inside"))
    with pytest.raises(SourceError, match="into a private network is refused"):
        texts(f"{address}/inside")
