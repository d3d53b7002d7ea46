"""Nothing that a model, a tool or an endpoint says ends a run.

400 cases; `make test-all` asks for 1,000, and `FUZZ_CASES=20000` for more.
Every dialogue ends as passed, as failed for a reason, or as faulty, which is no reward; and
whatever was said can be written.
"""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from k2core.agents import Dialogue, rollout
from k2core.agents.endpoint import ChatModel, play_model
from k2core.chat import SPECIAL_TOKENS, ChatCodec
from k2core.engines.protocol import Decoding
from k2core.engines.scripted import ScriptedEngine
from k2core.environments import ENVIRONMENTS
from k2core.evaluate.answers import count_calls
from k2core.problems import FAMILIES, pose_training
from k2core.rewards import Outcome, judge_dialogues, verify
from k2core.sandbox import Sandbox
from k2core.synthesize.judge import Judge
from k2core.tools.scenarios import draw_scenario
from schemas.chat import Message, Problem
from schemas.endpoint import Endpoint
from schemas.problems import ProblemsConfig
from tests.k2core.agents.hostile import JUNK, bodies, turns

CASES = int(os.environ.get("FUZZ_CASES", "400"))
_SPECIAL = re.compile("(" + "|".join(map(re.escape, SPECIAL_TOKENS)) + ")")
_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


def list_problems() -> list[Problem]:
    """One of every family that needs no sandbox, and two scenarios."""
    names = [n for n, family in FAMILIES.items() if family.group != "code"]
    posed = [
        pose_training(ProblemsConfig(families={name: 1.0}, two_turn_frac=0.5), 1) for name in names
    ]
    return [p.problem for p in posed] + [draw_scenario(0, index).problem for index in (1, 2)]


PROBLEMS = list_problems()
NAMES = tuple({tool.name for problem in PROBLEMS for tool in problem.tools})


def encode(codec: ChatCodec, text: str) -> list[int]:
    """A text as a model's tokens: what spells a special token is one."""
    parts = [part for part in _SPECIAL.split(text.encode(errors="replace").decode()) if part]
    special = codec._special
    return [i for p in parts for i in ([special[p]] if p in special else codec.encode(p))]


def say_in_turn(codec: ChatCodec, said: list[str]) -> ScriptedEngine:
    """Says these one after the other, each ended as it should be."""
    left = iter(said)

    def reply(_: list[int], how: Decoding) -> list[int]:
        return [*encode(codec, next(left, "done"))[: how.max_tokens - 1], how.stop_token_ids[0]]

    return ScriptedEngine(reply)


def check(dialogue: Dialogue, sandbox: Sandbox, *, may_break: bool) -> None:
    """It ended in one of three ways, can be judged by both judges, and can be written."""
    verdict = judge_dialogues([dialogue], sandbox)[0]
    judgement = Judge(sandbox).judge(dialogue)
    assert verdict.is_faulty == dialogue.is_faulty == judgement.is_faulty
    assert may_break or not dialogue.is_faulty, dialogue.fault
    assert verdict.is_faulty or 0 <= verdict.reward <= 1
    assert verdict.reward == 1 or verdict.reason
    made, valid = count_calls(dialogue)
    assert 0 <= valid <= made
    written = [message.model_dump_json() for message in dialogue.messages]
    written.append(json.dumps(dialogue.state, ensure_ascii=False, allow_nan=False))
    assert "".join([*written, verdict.reason, judgement.reason]).encode()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """For the judges; no case here has code."""
    with Sandbox.start() as started:
        yield started


@settings(max_examples=CASES * 4 // 10, suppress_health_check=_QUIET)
@given(problem=st.sampled_from(PROBLEMS), said=st.lists(turns(NAMES), min_size=1, max_size=3))
def test_model_turns(problem: Problem, said: list[str], codec: ChatCodec, sandbox: Sandbox) -> None:
    roomy = problem.model_copy(update={"max_tokens": 20_000, "max_turns": 4})
    engine = say_in_turn(codec, said)
    dialogue = rollout([roomy], engine, codec, seeds=[1], max_context=100_000)[0]
    check(dialogue, sandbox, may_break=False)


class HostileEnvironment:
    """Answers with what it is given, and breaks where nothing is left."""

    state: dict[str, JsonValue]

    def __init__(self, results: list[str]) -> None:
        self.state, self._left = {"said": "\ud83d", "deep": [[]]}, list(results)

    def call(self, name: str, arguments: dict[str, JsonValue]) -> str:
        """The next result."""
        if not self._left:
            raise OSError("the server is gone: \ud83d")
        return self._left.pop(0)


@settings(max_examples=CASES * 3 // 10, suppress_health_check=_QUIET)
@given(
    problem=st.sampled_from([p for p in PROBLEMS if p.tools]),
    results=st.lists(JUNK, max_size=3),
    closing=JUNK,
)
def test_tool_results(
    problem: Problem, results: list[str], closing: str, codec: ChatCodec, sandbox: Sandbox
) -> None:
    name = problem.tools[0].name
    calls = [
        f"<|tool_calls_section_begin|><|tool_call_begin|>functions.{name}:{index}"
        "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>"
        for index in range(2)
    ]
    ENVIRONMENTS["hostile"] = lambda _: HostileEnvironment(results)
    update = {"environment": "hostile", "max_tokens": 20_000, "max_turns": 4}
    engine = say_in_turn(codec, [*calls, closing, "done"] * 3)
    hostile = problem.model_copy(update=update)
    try:
        dialogue = rollout([hostile], engine, codec, seeds=[1], max_context=100_000)[0]
    finally:
        del ENVIRONMENTS["hostile"]
    check(dialogue, sandbox, may_break=len(results) < 2)
    said = [Message(role="tool", name=name, content=text) for text in results]
    outcome = Outcome((*said, Message(role="assistant", content=closing)))
    assert 0 <= verify(problem, outcome, sandbox).reward <= 1


Serve = Callable[[bytes], ChatModel]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """A server that answers every request with the same bytes, and who asks it."""
    body = [b""]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body[0])))
            self.end_headers()
            self.wfile.write(body[0])
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    model = ChatModel(Endpoint(url=url, model="m", max_retries=0, timeout_s=20))

    def answering(said: bytes) -> ChatModel:
        body[0] = said
        return model

    yield answering
    server.shutdown()
    server.server_close()


@settings(max_examples=CASES * 3 // 10, suppress_health_check=_QUIET)
@given(problem=st.sampled_from(PROBLEMS), body=bodies(NAMES))
def test_endpoint_answers(problem: Problem, body: bytes, serve: Serve, sandbox: Sandbox) -> None:
    model = serve(body)
    dialogue = play_model(problem, model, 1)
    check(dialogue, sandbox, may_break=True)
    if dialogue.is_faulty:  # the endpoint's doing, and named
        assert dialogue.fault.startswith(f"EndpointError: {model.name}: its answer ")
