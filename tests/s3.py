"""A real S3 server, whose answers a test can spoil."""

import logging
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterable
from typing import NamedTuple

import flyte.storage  # noqa: F401 - it gives fsspec's `s3` to obstore, as in every task
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Application = Callable[[dict[str, object], Callable[..., object]], Iterable[bytes]]

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Request(NamedTuple):
    """What reached the server."""

    method: str
    path: str
    number: int
    """Of its method, from 1 on since the rule was set."""
    range: str
    """Of bytes, as its header has it."""


Rule = Callable[[Request], str]
"""What becomes of a request: a status for an answer, a way to spoil the answer, or nothing ("")."""
FLIP, CUT, LOST = "flip", "cut", "lost"


class S3:
    """The server, its address, and the rule that spoils its answers."""

    scheme = "s3"

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self.requests: list[Request] = []
        self._app: Application = DomainDispatcherApplication(create_backend_app)
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.endpoint = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.spoil(None)

    def spoil(self, rule: Rule | None) -> None:
        """From now on answers go by this rule."""
        with self._lock:
            self._rule, self.requests = rule, []

    def make_bucket(self) -> str:
        """The address of an empty folder in a new bucket."""
        name = f"bucket-{uuid.uuid4().hex}"
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{name}", method="PUT"))
        return f"{self.scheme}://{name}/a store"

    def stop(self) -> None:
        self._server.shutdown()

    def count(self, method: str, part: str = "") -> int:
        """Requests since the rule was set whose path holds a part."""
        return sum(r.method == method and part in r.path for r in self.requests)

    def _answer(self, environ: dict[str, object], start: Callable[..., object]) -> Iterable[bytes]:
        method, path = str(environ["REQUEST_METHOD"]), str(environ["PATH_INFO"])
        with self._lock:
            number = 1 + sum(r.method == method for r in self.requests)
            request = Request(method, path, number, str(environ.get("HTTP_RANGE", "")))
            self.requests.append(request)
            what = self._rule(request) if self._rule else ""
        if what.isdigit():
            environ["wsgi.input"].read(int(str(environ.get("CONTENT_LENGTH") or 0)))  # type: ignore[attr-defined]
            start(f"{what} Spoiled", [("Content-Length", "0")])
            return [b""]
        with self._one_at_a_time:  # a real server's conditional writes are atomic
            begin = (lambda *_: None) if what == LOST else start
            body = b"".join(self._serve(environ, begin))
        if what == LOST:
            start("500 Lost", [("Content-Length", "0")])
            return [b""]
        if what == FLIP and body:
            return [body[:-1] + bytes([body[-1] ^ 1])]
        return [body[: len(body) // 2] if what == CUT else body]

    def _serve(self, environ: dict[str, object], start: Callable[..., object]) -> Iterable[bytes]:
        return self._app(environ, start)
