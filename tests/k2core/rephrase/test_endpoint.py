"""Rewriting through a real HTTP server that speaks the chat API."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from k2core.agents.endpoint import EndpointError
from k2core.rephrase import rephrase_corpus
from k2core.store import Store
from schemas.endpoint import Endpoint
from schemas.placement import Placement
from schemas.rephrase import RephraseConfig
from tests.k2core.rephrase.lighthouses import PLACES, faithful, original, publish_clean, read_folder

KEY = "K2_TEST_REPHRASE_KEY"


class Server(ThreadingHTTPServer):
    """Knows the lighthouses; the first requests are answered with `refusals`."""

    def __init__(self, refusals: tuple[int, ...] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refusals = list(refusals)
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.server.keys.add(self.headers["Authorization"])
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.refusals:
            self._send(self.server.refusals.pop(0), {"error": {"message": "too busy"}})
            return
        self.server.asked.append(body)
        shown = body["messages"][-1]["content"]
        number = next(n for n in range(len(PLACES)) if PLACES[n] in shown)
        message = {"role": "assistant", "content": faithful(number)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 90, "completion_tokens": 50, "total_tokens": 140}
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
        self._send(200, answer | {"choices": [choice], "usage": usage})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv(KEY, "secret")
    started = Server(getattr(request, "param", ()))
    yield started
    started.shutdown()


def config_for(server: Server, **changes: Any) -> RephraseConfig:
    endpoint = Endpoint(
        url=f"http://127.0.0.1:{server.server_port}/v1",
        model="large",
        api_key_variable=KEY,
        temperature=0.5,
        max_retries=2,
    )
    values = {"endpoint": endpoint, "documents": {"knowledge": 6}, "documents_together": 2}
    return RephraseConfig.model_validate(values | changes)


@pytest.mark.parametrize("server", [(), (429, 503)], indirect=True)
def test_an_endpoint_rewrites_and_a_busy_one_is_asked_again(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path)
    draft = rephrase_corpus(
        config_for(server), publish_clean(store), Placement(), store.workspace("r")
    )
    texts = {row["text"] for row in read_folder(draft.folder / "kept")}
    assert draft.counts["rewrites"] == len(texts) == 6
    assert texts < {faithful(n) for n in range(len(PLACES))}
    assert draft.counts["tokens_written"] == 300
    assert server.keys == {"Bearer secret"}
    for asked in server.asked:
        assert (asked["model"], asked["temperature"]) == ("large", 0.5)
        assert any(original(n) in asked["messages"][-1]["content"] for n in range(len(PLACES)))
    sources = json.loads((draft.folder / "sources.json").read_text())
    assert sources["large"]["version"] == f"http://127.0.0.1:{server.server_port}/v1 large"


def test_spent_tokens_leave_a_part_of_whole_documents(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path)
    config = config_for(server, max_tokens_spent=200)
    part = rephrase_corpus(config, publish_clean(store), Placement(), store.workspace("r"))
    made = part.counts["rewrites"]
    assert 0 < made < 6
    assert (part.counts["not_begun"], len(server.asked)) == (6 - made, made)
    assert part.counts["tokens_written"] <= 200  # a document is begun if its longest rewrite fits


@pytest.mark.parametrize("server", [(500,) * 9], indirect=True)
def test_an_endpoint_that_stays_broken_is_named(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(EndpointError, match=r"127.0.0.1:\d+/v1 large: .*too busy"):
        rephrase_corpus(config_for(server), publish_clean(store), Placement(), store.workspace("r"))


def test_a_key_that_is_not_set_is_named(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY)
    store = Store(tmp_path)
    with pytest.raises(EndpointError, match=f"set {KEY}"):
        rephrase_corpus(config_for(server), publish_clean(store), Placement(), store.workspace("r"))
