"""Agents and judges behind a real HTTP server that speaks the chat-completions form."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from k2core.agents import TooManyFaultsError
from k2core.agents.endpoint import ChatModel, EndpointError, play_model
from k2core.problems import training_problem
from k2core.store import Store
from k2core.synthesize import synthesize_trajectories
from schemas.chat import Message
from schemas.endpoint import Endpoint
from schemas.placement import Placement
from schemas.problems import ProblemsConfig
from schemas.synthesize import ModelJudgeConfig, SynthesizeConfig

Answer = Callable[[dict[str, Any]], dict[str, Any] | bytes]
"""A message, or a whole body."""
SUMS = ProblemsConfig(families={"sum_with_tool": 1.0}, two_turn_frac=0.0)


@contextmanager
def serve(answer: Answer, refusals: int = 0) -> Iterator[str]:
    """Answers chats; the first requests are refused as by a busy server."""
    left = [refusals]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            left[0] -= 1
            status, said = (429, b'{"error": "busy"}') if left[0] >= 0 else (200, answer(request))
            content = said if isinstance(said, bytes) else json.dumps(wrap(said)).encode()
            self.send_response(status)
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


def wrap(message: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
    usage = {"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m"} | {
        "choices": [choice],
        "usage": usage,
    }


def calculate(request: dict[str, Any]) -> dict[str, Any]:
    """Calls the declared tool with the numbers of the question, under an id of its own making."""
    last = request["messages"][-1]
    if last["role"] == "tool":
        assert last["tool_call_id"].startswith("functions.")
        return {"content": str(json.loads(last["content"])["result"])}
    function = request["tools"][0]["function"]
    numbers = map(int, re.findall(r"\d+", last["content"]))
    arguments = json.dumps(dict(zip(function["parameters"]["required"], numbers, strict=True)))
    called = {"name": function["name"], "arguments": arguments}
    return {"content": None, "tool_calls": [{"id": "x", "type": "function", "function": called}]}


def config(**changes: Any) -> SynthesizeConfig:
    plain = {"num_problems": 12, "num_scenarios": 0, "live_per_server": 0, "distractor_frac": 0.0}
    return SynthesizeConfig(**{**plain, **changes})


def read(folder: Path, kind: str) -> pl.DataFrame:
    return pl.read_parquet(folder / kind / "*.parquet")


def test_a_model_acts_through_refusals_and_its_calls_are_numbered_as_k2_does(
    tmp_path: Path,
) -> None:
    with serve(calculate, refusals=2) as url:
        agent = Endpoint(url=url, model="m", max_concurrent=4)
        workspace = Store(tmp_path).workspace("synthesize")
        draft = synthesize_trajectories(
            config(agent=agent, num_probes=2, max_attempts=2), SUMS, workspace, Placement()
        )
    rows = read(draft.folder, "accepted")
    assert len(rows) == 24
    assert set(rows["agent"]) == {f"{url} m"}
    assert all('"id":"functions.' in messages for messages in rows["messages"])
    assert set(rows["pass_rate"]) == {1.0}
    firsts = rows.filter(pl.col("attempt") == 0)
    assert set(rows.filter(pl.col("attempt") == 1)["parent"]) == set(firsts["trajectory_id"])


def test_hard_problems_are_sampled_to_the_cap_and_all_rejects_kept(tmp_path: Path) -> None:
    with serve(lambda _: {"content": "no"}) as url:
        agent = Endpoint(url=url, model="m", max_concurrent=4)
        workspace = Store(tmp_path).workspace("synthesize")
        draft = synthesize_trajectories(
            config(agent=agent, num_problems=3, num_probes=2, max_attempts=5),
            SUMS,
            workspace,
            Placement(),
        )
    rows = read(draft.folder, "rejects")
    assert rows["attempt"].to_list() == [0, 1, 2, 3, 4] * 3
    assert set(rows["pass_rate"]) == {0.0}
    assert set(rows["fault"]) == {"agent"}


def test_a_judge_that_always_passes_never_counts(tmp_path: Path) -> None:
    with serve(lambda _: {"content": "PASS"}) as url:
        stats = judged_by(url, tmp_path)
    assert stats["model_judge"]["agreement"] == 0.5
    assert stats["model_judge"]["position_bias"] == 1.0
    assert not stats["model_judge"]["counts"]
    assert sum(stats["accepted"].values()) == 12


def test_a_judge_that_is_right_counts(tmp_path: Path) -> None:
    def right(request: dict[str, Any]) -> dict[str, Any]:
        text = request["messages"][-1]["content"]
        passes = [sums_up(part) for part in text.split("\nDialogue")[1:]]
        if len(passes) == 2:
            return {"content": "A" if passes[0] else "B"}
        return {"content": "PASS" if passes[0] else "FAIL"}

    with serve(right) as url:
        stats = judged_by(url, tmp_path)
    assert stats["model_judge"]["counts"]
    assert stats["model_judge"]["agreement"] == 1.0
    assert sum(stats["accepted"].values()) == 12


def sums_up(dialogue: str) -> bool:
    """Whether the answer is what the tool returned, or the sum of the question's numbers."""
    question, answer = re.findall(r"user: (.*)|assistant: (-?\d+)$", dialogue, re.MULTILINE)
    return sum(map(int, re.findall(r"\d+", question[0]))) == int(answer[1])


def judged_by(url: str, place: Path) -> Any:
    judge = ModelJudgeConfig(endpoint=Endpoint(url=url, model="m"), num_calibration=20)
    workspace = Store(place).workspace("synthesize")
    calm = config(model_judge=judge, failure_frac=0.0, outage_frac=0.0, slip_frac=0.0)
    draft = synthesize_trajectories(calm, SUMS, workspace, Placement())
    return json.loads((draft.folder / "stats.json").read_text())


def test_an_endpoint_that_is_not_there_is_an_error_and_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nowhere = Endpoint(url="http://127.0.0.1:9/v1", model="m", max_retries=0)
    with pytest.raises(EndpointError, match=r"http://127\.0\.0\.1:9/v1 m: "):
        ChatModel(nowhere).say([Message(role="user", content="hi")], (), 8, 0)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(EndpointError, match="set NO_SUCH_KEY"):
        ChatModel(nowhere.model_copy(update={"api_key_variable": "NO_SUCH_KEY"}))


HI = [Message(role="user", content="hi")]
WHOLE = json.dumps(wrap({"content": "hello"})).encode()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\x00\xff<html>not json", "no JSON"),
        (b"<html><body>log in</body></html>", "no JSON"),
        (WHOLE[:60], "no JSON"),
        (b"", "no JSON"),
        (b"{}", "no chat completion"),
        (b"[]", "no chat completion"),
        (b'{"choices": []}', "no chat completion"),
        (b'{"choices": null, "error": {"message": "overloaded"}}', "overloaded"),
        (b'{"choices": [{"index": 0, "finish_reason": "stop"}]}', "message"),
        (b"[" * 4000, "nested more than"),
        (json.dumps(wrap({"content": "x" * 5000})).encode(), "more than 4,096 bytes"),
    ],
)
def test_a_broken_answer_is_asked_for_again_and_then_the_endpoints_fault(
    body: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    asked: list[object] = []

    def answer(request: dict[str, Any]) -> bytes:
        asked.append(request)
        return body if len(asked) != 8 else WHOLE

    with serve(answer) as url:
        model = ChatModel(Endpoint(url=url, model="m", max_retries=2, max_answer_bytes=4096))
        with pytest.raises(EndpointError, match=re.escape(f"{url} m: its answer ")) as failed:
            model.say(HI, (), 4000, 0)
        assert said in str(failed.value)
        assert len(asked) == 3
        dialogue = play_model(training_problem(SUMS, 0), model, 0)
        assert dialogue.is_faulty
        assert said in dialogue.fault
        assert model.say(HI, (), 4000, 0).message.content == "hello"


@pytest.mark.parametrize(
    ("message", "stop_reason"),
    [
        ({"tool_calls": [{"type": "custom", "custom": {"name": "x", "input": "y"}}]}, "malformed"),
        ({"tool_calls": [{"function": {"name": "../../etc/passwd"}}]}, "malformed"),
        ({"tool_calls": [{"function": {"name": "f", "arguments": None}}]}, "turn_limit"),
        ({"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}, "turn_limit"),
        ({"content": "Say \ud83d"}, "answered"),
        ({"content": [{"type": "text", "text": "37"}]}, "answered"),
        ({"content": "lorem ipsum " * 100_000}, "token_budget"),
    ],
)
def test_what_a_model_says_is_the_models(message: dict[str, Any], stop_reason: str) -> None:
    with serve(lambda _: message) as url:
        model = ChatModel(Endpoint(url=url, model="m", max_retries=0))
        dialogue = play_model(training_problem(SUMS, 0), model, 0)
    assert dialogue.stop_reason == stop_reason
    assert all(len(m.model_dump_json().encode()) < 20_000 for m in dialogue.messages)


def test_an_endpoint_that_dies_ends_the_stage_and_says_which_rule(tmp_path: Path) -> None:
    agent = Endpoint(url="http://127.0.0.1:9/v1", model="m", max_retries=0)
    with pytest.raises(TooManyFaultsError, match=r"synthesize.max_faulty_frac.*127.0.0.1:9/v1 m: "):
        synthesize_trajectories(
            config(agent=agent), SUMS, Store(tmp_path).workspace("synthesize"), Placement()
        )


def test_a_breaking_answer_costs_no_problem_its_trajectory(tmp_path: Path) -> None:
    broken = [b"{}"]

    def sometimes(request: dict[str, Any]) -> dict[str, Any] | bytes:
        return broken.pop() if broken else calculate(request)

    with serve(sometimes) as url:
        agent = Endpoint(url=url, model="m", max_concurrent=1, max_retries=0)
        workspace = Store(tmp_path).workspace("synthesize")
        draft = synthesize_trajectories(
            config(agent=agent, max_faulty_frac=0.5), SUMS, workspace, Placement()
        )
    accepted, rejects = read(draft.folder, "accepted"), read(draft.folder, "rejects")
    assert len(accepted) == 12
    assert set(accepted["pass_rate"]) == {1.0}
    [row] = rejects.to_dicts()
    assert (row["stop_reason"], row["fault"]) == ("faulty", "environment")
    assert row["reward"] != row["reward"]  # no reward at all
    assert row["reason"].startswith("environment: EndpointError: ")


@pytest.mark.parametrize(
    "url", ["http://user:KEY@h/v1", "https://KEY@h/v1", "http://h/v1?key=KEY", "http://h/v1#KEY"]
)
def test_credentials_in_an_address_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="api_key_variable") as refused:
        config(agent={"url": url, "model": "m"})
    assert "KEY" not in str(refused.value)


def test_a_key_that_a_server_echoes_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-0123456789")
    with serve(lambda _: {"content": "Your key is sk-0123456789."}) as url:
        endpoint = Endpoint(url=url, model="m", max_retries=0, api_key_variable="SOME_KEY")
        assert ChatModel(endpoint).say(HI, (), 99, 0).message.content == "Your key is <key>."
    with serve(lambda _: b'{"error": "bad key sk-0123456789"}') as url:
        endpoint = endpoint.model_copy(update={"url": url})
        with pytest.raises(EndpointError, match="bad key <key>") as failed:
            ChatModel(endpoint).say(HI, (), 99, 0)
    assert failed.value.__cause__ is None
