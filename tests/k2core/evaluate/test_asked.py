"""Whatever an endpoint answers ends no evaluation: it is read, or its fault is counted."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from inspect_ai.log import read_eval_log
from openai.types.chat import ChatCompletion

from k2core.agents.bodies import BrokenBodyError, plain_completion, read_turn
from k2core.evaluate import harness
from k2core.evaluate.harness import Subject, run_suites
from k2core.sandbox import Sandbox
from schemas.benchmarks import BenchmarkConfig
from tests.k2core.serving.fake import Body, send, serving


def whole(message: object, finish: object = "stop", **more: object) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps({"id": "x", "model": "m", "choices": [choice], **more}).encode()


def calling(arguments: object, name: object = "add", **more: object) -> bytes:
    function = {"name": name, "arguments": arguments}
    return whole({"content": None, "tool_calls": [{"function": function, **more}]}, "tool_calls")


SPOKEN: dict[bytes, tuple[str, list[tuple[str, str]]]] = {
    whole({"content": "x"}): ("x", []),
    whole({"role": "bot", "content": "x"}, None, model=None, created="now"): ("x", []),
    whole({"content": [{"type": "text", "text": "a"}, {"text": "b"}]}, ["stop"]): ("ab", []),
    whole({"content": None, "refusal": "no", "tool_calls": None}): ("", []),
    whole({"content": "a\ud800"}): ("a\ufffd", []),
    whole({"content": "x"}, usage={"completion_tokens": -3}): ("x", []),
    whole({"content": "x"}, usage={"completion_tokens": 2**70}): ("x", []),
    whole({"content": "x"}, usage=[1], logprobs=[1]): ("x", []),
    calling({"a": 1}): ("", [("add", '{"a": 1}')]),
    calling(None, id=7): ("", [("add", "")]),
    calling("[" * 5000): ("", [("add", "[" * 5000)]),
    calling('{"a":' + "9" * 5000 + "}"): ("", [("add", '{"a":' + "9" * 5000 + "}")]),
    calling("\udc00", "a b\x00\ud800"): ("", [("a b\x00\ufffd", "\ufffd")]),
    whole({"content": "x", "tool_calls": [{"id": "a"}]}): ("x", []),
}
BROKEN: dict[bytes, str] = {
    b"<html>": "no JSON",
    b"": "no JSON",
    b"null": "no chat completion",
    b'{"error": "overloaded"}': "overloaded",
    b'{"choices": []}': "choices",
    b'{"choices": [{"message": null}]}': "message",
    whole({"content": 5}): "content",
    whole({"content": "x", "tool_calls": [None]}): "tool_calls.0",
    calling("{}", 5): "function.name",
    b"[" * 9000: "deep",
}


@pytest.mark.parametrize(("body", "said"), SPOKEN.items())
def test_what_is_an_answer_is_the_same_to_both_readers(
    body: bytes, said: tuple[str, list[tuple[str, str]]]
) -> None:
    found = ChatCompletion.model_validate(plain_completion(body.decode()))
    message = found.choices[0].message
    calls = [c.function for c in message.tool_calls or () if c.type == "function"]
    assert (message.content, [(f.name, f.arguments) for f in calls]) == said
    turn = read_turn(body.decode(), 0, 10_000)
    assert turn.message.content == message.content
    assert found.usage
    assert 0 <= turn.num_tokens == found.usage.completion_tokens < 10**9


@pytest.mark.parametrize(("body", "why"), BROKEN.items())
def test_what_is_none_is_named(body: bytes, why: str) -> None:
    with pytest.raises(BrokenBodyError, match=why):
        plain_completion(body.decode())


def test_the_harness_goes_on_whatever_is_answered(tmp_path: Path) -> None:
    """Each item gets another answer, calls of nothing that is declared among them."""
    spoken = [body for body in SPOKEN if len(body) < 1000]
    answers = iter(spoken)
    config = BenchmarkConfig(suites=("reasoning",), limit=1, max_connections=2)

    def behave(handler: BaseHTTPRequestHandler, _: Body) -> None:
        send(handler, next(answers, b"<html>"))

    with serving(behave) as (endpoint, _), Sandbox.start() as sandbox:
        asked = Subject("m", "", endpoint.model_copy(update={"max_retries": 0}))
        found = run_suites(config, asked, sandbox, tmp_path).suites["reasoning"]
    assert (found.rate.passed, found.rate.total) == (0, len(spoken))
    assert found.faulty == sum(found.faults.values()) == 15 - len(spoken)
    (fault,) = found.faults
    assert "InternalServerError: Error code: 502" in fault
    assert "its answer is no JSON" in fault


def test_a_harness_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        harness, "read_eval_log", lambda at: read_eval_log(at).model_copy(update={"samples": None})
    )
    config = BenchmarkConfig(suites=("reasoning",), limit=1)
    with (
        serving(lambda handler, _: send(handler, whole({"content": "x"}))) as (endpoint, _),
        Sandbox.start() as sandbox,
        pytest.raises(ValueError, match=r"inspect_ai ended with success: .*; its log: "),
    ):
        run_suites(config, Subject("m", "", endpoint), sandbox, tmp_path)
