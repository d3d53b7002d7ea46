"""An OpenAI-compatible server on loopback that answers as a test says, over real HTTP."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Body = dict[str, Any]


class Said(NamedTuple):
    """What the server sends back."""

    content: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    """Names and arguments."""
    status: int = 200
    stop: str = "stop"
    num_tokens: int = 2


@contextmanager
def answering(answer: Callable[[Body], Said]) -> Iterator[tuple[str, list[Body]]]:
    """Its base URL, and the bodies that it was sent."""
    seen: list[Body] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(asked)
            said = answer(asked)
            sent = json.dumps(_body(said)).encode()
            self.send_response(said.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", seen
    finally:
        server.shutdown()
        server.server_close()


def _body(said: Said) -> Body:
    if said.status != 200:
        return {"error": {"message": said.content, "type": "BadRequestError", "code": said.status}}
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(said.calls)
    ]
    message = {
        "role": "assistant",
        "content": said.content,
        **({"tool_calls": calls} if calls else {}),
    }
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": said.stop}],
        "usage": {
            "prompt_tokens": 1,
            "completion_tokens": said.num_tokens,
            "total_tokens": 1 + said.num_tokens,
        },
    }
