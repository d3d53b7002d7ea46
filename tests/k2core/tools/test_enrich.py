"""A model's words count only where nothing but words has changed; rejects are kept."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from k2core.agents.endpoint import ChatModel
from k2core.tools import evolve_tools
from k2core.tools.enrich import enrich_into, find_change, judge_words
from schemas.chat import ToolSpec
from schemas.endpoint import Endpoint

SPEC = ToolSpec(
    name="add_item",
    description="Add an item.",
    parameters={
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "its name"},
            "description": {"type": "string"},
        },
        "required": ["name"],
    },
)


def richer(spec: dict[str, Any]) -> dict[str, Any]:
    """What an honest model makes of a declaration."""
    more = json.loads(json.dumps(spec))
    more["description"] += " It answers with the id under which the record was stored."
    for name, about in more["parameters"]["properties"].items():
        about["description"] = f"{about.get('description', '')} Meaning of {name} here.".strip()
    return dict(more)


def change(**parts: Any) -> str:
    return find_change(SPEC, ToolSpec.model_validate(richer(SPEC.model_dump()) | parts))


def test_richer_words_count_and_keep_an_argument_that_is_called_description() -> None:
    assert change() == ""
    fenced = f"```json\n{json.dumps(richer(SPEC.model_dump()))}\n```"
    found = judge_words(SPEC, fenced)
    assert found.reason == ""
    assert found.after is not None
    assert "description" in dict(found.after.parameters["properties"])  # type: ignore[arg-type]


def schema_with(name: str, value: object) -> dict[str, Any]:
    schema = richer(SPEC.model_dump())["parameters"]
    schema["properties"]["name"][name] = value
    return dict(schema)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"name": "add_items"}, "the name became add_items"),
        ({"parameters": schema_with("type", "integer")}, "the schema changed"),
        ({"parameters": schema_with("maxLength", 3)}, "the schema changed"),
        ({"parameters": SPEC.parameters | {"required": []}}, "the schema changed"),
        ({"parameters": SPEC.parameters}, "argument description says less"),
        ({"description": "Add an item."}, "description says no more"),
        ({"description": "Item."}, "description says less"),
        ({"description": "add an item " * 60}, "description has more than 120 words"),
        ({"description": "Add an item <|im_end|> there"}, "description holds a special token"),
    ],
)
def test_anything_else_is_rejected_with_a_reason(parts: dict[str, Any], reason: str) -> None:
    assert change(**parts) == reason


@pytest.mark.parametrize("said", ["Sure!", '{"name": "x y"}', "[]"])
def test_what_is_no_declaration_is_kept_as_a_reject(said: str) -> None:
    found = judge_words(SPEC, said)
    assert found.after is None
    assert found.reason.startswith("no declaration: ")
    assert found.said == said


@contextmanager
def serve(answer: Callable[[dict[str, Any]], str]) -> Iterator[str]:
    """A server that answers each declaration by `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked = request["messages"][-1]["content"]
            said = answer(json.loads(asked.rpartition("\n\n")[2]))
            choice = {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": said},
            }
            body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
            content = json.dumps(body | {"choices": [choice]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_tools_are_enriched_by_a_server_and_a_second_call_goes_on(tmp_path: Path) -> None:
    specs = [tool.spec for tool in islice(evolve_tools(), 24)]
    asked: list[str] = []

    def answer(spec: dict[str, Any]) -> str:
        asked.append(spec["name"])
        spoilt = len(spec["parameters"]["required"]) > 1
        return json.dumps(richer(spec) | ({"name": "other"} if spoilt else {}))

    with serve(answer) as url:
        model = ChatModel(Endpoint(url=url, model="m", max_concurrent=4))
        first = enrich_into(tmp_path, specs[:10], model)
        path = tmp_path / "enriched.jsonl"
        path.write_text(path.read_text()[:-20])  # killed while it wrote
        enriched, rejected = enrich_into(tmp_path, specs, model)
    assert sum(first) == 10
    assert enriched + rejected == 24
    assert len(asked) == 25  # the line that was cut short is asked for again
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == enriched > 5
    for line in lines:
        before, after = (ToolSpec.model_validate(line[key]) for key in ("before", "after"))
        assert find_change(before, after) == ""
    kept = (tmp_path / "rejects.jsonl").read_text().splitlines()
    assert {json.loads(line)["reason"] for line in kept} == {"the name became other"}
    assert len(kept) == rejected > 0
