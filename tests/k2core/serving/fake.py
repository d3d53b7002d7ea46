"""An endpoint that does whatever a test says."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from schemas.endpoint import Endpoint

Body = dict[str, Any]
Behaviour = Callable[[BaseHTTPRequestHandler, Body], None]


@contextmanager
def serving(behave: Behaviour, timeout_s: float = 5) -> Iterator[tuple[Endpoint, list[Body]]]:
    """An endpoint that does this with each request, and what it was asked."""
    asked: list[Body] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            try:
                behave(self, body)
            except (BrokenPipeError, ConnectionResetError):
                return

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield Endpoint(url=url, model="m", timeout_s=timeout_s, max_concurrent=4), asked
    finally:
        server.shutdown()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, data: bytes, code: int = 200, length: int = 0) -> None:
    handler.send_response(code)
    handler.send_header("Content-Length", str(length or len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def send_stream(handler: BaseHTTPRequestHandler, events: Sequence[Body]) -> None:
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()
    for line in [*lines, "data: [DONE]\n\n"]:
        handler.wfile.write(line.encode())
        handler.wfile.flush()
