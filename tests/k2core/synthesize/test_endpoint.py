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

from k2core.agents.endpoint import ChatModel, EndpointError
from k2core.store import Store
from k2core.synthesize import synthesize_trajectories
from schemas.chat import Message
from schemas.endpoint import Endpoint
from schemas.placement import Placement
from schemas.problems import ProblemsConfig
from schemas.synthesize import ModelJudgeConfig, SynthesizeConfig

Answer = Callable[[dict[str, Any]], dict[str, Any]]
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
            status, body = (
                (429, {"error": "busy"}) if left[0] >= 0 else (200, wrap(answer(request)))
            )
            content = json.dumps(body).encode()
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
