"""Endpoints that keep their word, and every way not to: counted, never an error."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from k2core.serving import Figures, list_requests, verify_endpoint
from k2core.serving.wire import Asking
from schemas.endpoint import Endpoint
from tests.k2core.serving.fake import Behaviour, Body, send, send_stream, serving

REQUESTS = list_requests(24, 0)
BY_MESSAGES = {json.dumps([r.messages, r.tools], sort_keys=True): r for r in REQUESTS}


def right_message(body: Body) -> Body:
    """What the expert does, with arguments that the schema allows."""
    request = BY_MESSAGES[json.dumps([body["messages"], body["tools"]], sort_keys=True)]
    if not request.should_call:
        return {"content": "done ü", "tool_calls": []}
    function: Any = request.tools[0]["function"]
    values = {"integer": 1, "string": "x"}
    named = function["parameters"]["properties"]
    given = {name: values[kind["type"]] for name, kind in named.items()}
    call = {
        "id": f"functions.{function['name']}:{request.num_made}",
        "type": "function",
        "function": {"name": function["name"], "arguments": json.dumps(given)},
    }
    return {"content": None, "tool_calls": [call]}


def answer(
    spoil: Callable[[Body, bool], None] = lambda message, stream: None, finish: str = ""
) -> Behaviour:
    """A right endpoint, each message of which is spoilt."""

    def behave(handler: BaseHTTPRequestHandler, body: Body) -> None:
        stream = bool(body.get("stream"))
        message = right_message(body)
        spoil(message, stream)
        ended = finish or ("tool_calls" if message["tool_calls"] else "stop")
        if not stream:
            choice = {"message": message, "finish_reason": ended}
            send(handler, json.dumps({"choices": [choice]}).encode())
            return
        deltas: list[Body] = [{"role": "assistant"}]
        deltas += [{"content": part} for part in message["content"] or ""]
        for index, call in enumerate(message["tool_calls"]):
            head, rest = call["function"]["arguments"][:2], call["function"]["arguments"][2:]
            function = {**call["function"], "arguments": head}
            deltas.append({"tool_calls": [{**call, "index": index, "function": function}]})
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": rest}}]})
        events: list[Body] = [{"choices": [{"delta": delta}]} for delta in deltas]
        events += [{"choices": [{"delta": {}, "finish_reason": ended}]}, {"choices": []}]
        send_stream(handler, events)

    return behave


def verify(behave: Behaviour, path: Path) -> Figures:
    with serving(behave) as (endpoint, _):
        return verify_endpoint(endpoint, REQUESTS, path, Asking(64, 0)).figures


def test_an_endpoint_that_keeps_its_word(tmp_path: Path) -> None:
    found = verify(answer(), tmp_path / "a.jsonl")
    assert found.keeps_its_word
    assert (found.asked, found.answered, found.trigger_f1) == (24, 24, 1.0)
    assert found.calls == found.valid_calls == found.right_ids == found.should_trigger > 6


def test_a_stream_of_another_spelling_keeps_its_word(tmp_path: Path) -> None:
    """Unescaped characters that are line ends elsewhere, and the standard's other line ends."""

    def behave(handler: BaseHTTPRequestHandler, body: Body) -> None:
        said = "a\u2028b\x85c\x0bd"
        message: Body = {"content": said}
        if not body.get("stream"):
            choice = {"message": message, "finish_reason": "stop"}
            send(handler, json.dumps({"choices": [choice]}).encode())
            return
        events: list[Body] = [{"choices": [{"delta": message}]}]
        events += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}]
        lines = [f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\n" for event in events]
        send(handler, "".join([": ping\r\n", *lines, "data:[DONE]\r\n\r\n"]).encode())

    found = verify(behave, tmp_path / "a.jsonl")
    assert found.keeps_its_word, found.faults


def change_call(**new: object) -> Callable[[Body, bool], None]:
    def spoil(message: Body, _: bool) -> None:
        for call in message["tool_calls"]:
            call.update({k: v for k, v in new.items() if k == "id"})
            call["function"].update({k: v for k, v in new.items() if k != "id"})

    return spoil


def only_in_streams(message: Body, stream: bool) -> None:
    message["content"] = "other" if stream else message["content"]


def never_calls(message: Body, _: bool) -> None:
    message["tool_calls"] = []


@pytest.mark.parametrize(
    ("behave", "wrong"),
    [
        (answer(change_call(id="call_1")), "right_ids"),
        (answer(change_call(arguments="{}")), "valid_calls"),
        (answer(change_call(arguments="[1")), "valid_calls"),
        (answer(change_call(arguments="[" * 100_000)), "valid_calls"),
        (answer(change_call(name="other")), "valid_calls"),
        (answer(only_in_streams), "equal_streams"),
        (answer(finish="stop"), "right_finishes"),
    ],
)
def test_what_is_broken_is_counted(behave: Behaviour, wrong: str, tmp_path: Path) -> None:
    found = verify(behave, tmp_path / "a.jsonl")
    assert not found.keeps_its_word
    assert found.answered == 24
    assert getattr(found, wrong) < found.calls or getattr(found, wrong) < found.answered


def test_triggers_are_the_models_own_concern(tmp_path: Path) -> None:
    found = verify(answer(never_calls), tmp_path / "a.jsonl")
    assert found.keeps_its_word
    assert found.trigger_f1 == 0


def hang(handler: BaseHTTPRequestHandler, _: Body) -> None:
    threading.Event().wait(2)


def dribble(handler: BaseHTTPRequestHandler, _: Body) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _step in range(40):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        threading.Event().wait(0.05)


def whole_only(data: bytes) -> Behaviour:
    """Right as a whole, and this as a stream."""

    def behave(handler: BaseHTTPRequestHandler, body: Body) -> None:
        if body.get("stream"):
            send(handler, data)
        else:
            answer()(handler, body)

    return behave


@pytest.mark.parametrize(
    ("behave", "fault"),
    [
        (lambda h, _: send(h, b"oops", 500), "HTTP 500"),
        (lambda h, _: send(h, b"", 429), "HTTP 429"),
        (lambda h, _: send(h, b"\xff\xfe\x00"), "broken: "),
        (lambda h, _: send(h, b"<html>"), "broken: "),
        (lambda h, _: send(h, b""), "broken: "),
        (lambda h, _: send(h, b"[" * 100_000), "broken: "),
        (lambda h, _: send(h, b'{"choices": []}'), "broken: no chat completion"),
        (lambda h, _: send(h, b'{"choices": [{"message": 7}]}'), "broken: no chat completion"),
        (lambda h, _: send(h, b'{"choices": [{"message"', length=999), "Error"),
        (lambda h, _: send(h, b" " * 5_000_000), "more than"),
        (lambda h, _: h.wfile.write(b"no http at all"), "Error"),
        (lambda h, _: None, "Error"),
        (hang, "Timeout"),
        (dribble, "in time"),
        (whole_only(b"data: {}\n\n"), "[DONE]"),
        (whole_only(b'data: {"error": {"message": "busy"}}\n\ndata: [DONE]\n\n'), "error: busy"),
        (whole_only(b"data: [1]\n\ndata: [DONE]\n\n"), "broken: no chat completion"),
        (
            whole_only(b'data: {"choices": [{"delta": {"tool_calls": [3]}}]}\n\ndata: [DONE]'),
            "calls.0",
        ),
        (whole_only(b"not a stream"), "[DONE]"),
    ],
)
def test_an_endpoint_that_misbehaves_is_reported(
    behave: Behaviour, fault: str, tmp_path: Path
) -> None:
    with serving(behave, timeout_s=0.5) as (endpoint, _):
        found = verify_endpoint(endpoint, REQUESTS[:4], tmp_path / "a.jsonl", Asking(64, 0))
    assert found.figures.answered == 0
    assert any(fault in said for said in found.figures.faults), found.figures.faults
    assert not found.figures.keeps_its_word


def test_nobody_listens(tmp_path: Path) -> None:
    endpoint = Endpoint(url="http://127.0.0.1:9/v1", model="m", timeout_s=2)
    found = verify_endpoint(endpoint, list_requests(60, 0), tmp_path / "a.jsonl", Asking(8, 0))
    assert found.is_given_up
    assert sum(found.figures.faults.values()) == 24


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    failing = iter([True] * 6)

    def sometimes(handler: BaseHTTPRequestHandler, body: Body) -> None:
        if next(failing, False):
            send(handler, b"", 503)
        else:
            answer()(handler, body)

    assert verify(sometimes, path).answered < 24
    path.write_bytes(path.read_bytes()[:-20])  # killed while it wrote the last line
    with serving(answer()) as (endpoint, asked):
        found = verify_endpoint(endpoint, REQUESTS, path, Asking(64, 0))
    assert found.figures.keeps_its_word
    assert 2 <= len(asked) <= 14
    with serving(answer()) as (endpoint, asked):
        verify_endpoint(endpoint, REQUESTS, path, Asking(64, 0))
    assert asked == []
    with serving(answer(never_calls)) as (endpoint, _):
        held = verify_endpoint(endpoint, REQUESTS, tmp_path / "b.jsonl", Asking(64, 0), path)
    assert held.figures.should_trigger == found.figures.triggered
    path.write_text('{"request": 1}\n')
    with serving(answer()) as (endpoint, _), pytest.raises(ValueError, match="line 1: no line"):
        verify_endpoint(endpoint, REQUESTS, path, Asking(64, 0))
