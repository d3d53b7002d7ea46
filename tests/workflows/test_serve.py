"""`k2 serve`, really started: every form of request by OpenAI's client, enforced; then stopped."""

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from k2core.chat import ChatCodec
from k2core.chat.hub import write_chat_files
from k2core.chat.schemas import read_schema
from k2core.model.hf import describe_checkpoint, describe_shape
from k2core.release.dialogues import list_forms
from k2core.serving import list_requests, verify_endpoint
from k2core.serving.process import address
from k2core.serving.wire import Asking
from schemas.endpoint import Endpoint
from tests.k2core.shapes import tiny_shape
from workflows.errors import MendableError
from workflows.serve import check_free, find_served

ROOT = Path(__file__).parents[2]


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(MendableError, match=r"--port \d+: Address already in use"):
            check_free("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(MendableError, match="cannot listen on 203"):
        check_free("203.0.113.7", 8000)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::1", "http://[::1]:1"),
        ("::", "http://[::1]:1"),
        ("gpu-7", "http://gpu-7:1"),
    ],
)
def test_the_address_is_one_to_call(host: str, url: str) -> None:
    assert address(host, 1) == url


def test_folders_are_told_apart(tmp_path: Path, tokenizer_folder: Path) -> None:
    with pytest.raises(MendableError, match="holds no model"):
        find_served(str(tmp_path))
    policy = tmp_path / "policy"
    policy.mkdir()
    (policy / "config.json").write_text("{}")
    assert find_served(str(tmp_path))[::2] == (policy, False)
    shutil.copy(tokenizer_folder / "tokenizer.json", policy)
    assert find_served(str(policy))[::2] == (policy, True)


SMALL = {
    "type": "object",
    "properties": {
        "unit": {"enum": ["m", "ft"]},
        "n": {"type": "integer", "minimum": 0, "maximum": 99},
        "note": {"type": "string", "maxLength": 3},
        "at": {"$ref": "#/$defs/at"},
    },
    "required": ["unit", "n"],
    "$defs": {"at": {"type": ["boolean", "null"]}},
}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "description": "", "parameters": SMALL}}
    for name in ("measure", "look-up")
]
USER: list[Any] = [{"role": "user", "content": "How long?"}]
CALL = {"id": "call_abc", "type": "function", "function": {"name": "measure", "arguments": "{}"}}
HISTORY: list[Any] = [
    *USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "call_def"}]},
    {"role": "tool", "tool_call_id": "call_abc", "content": "1"},
    {"role": "tool", "tool_call_id": "call_def", "content": [{"type": "text", "text": "2"}]},
]
NAMED = {"type": "function", "function": {"name": "look-up"}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SMALL, "strict": True}}


class Endless(NamedTuple):
    """A served model of random weights."""

    url: str
    folder: Path


@pytest.fixture(scope="module")
def served(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endless]:
    folder = tmp_path_factory.mktemp("served")
    port = free_port()
    command = [sys.executable, "-m", "workflows.cli", "serve", str(folder), "--port", str(port)]
    save(folder, tokenizer_folder)
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        shown = until_greeted(server)
        assert f"curl http://127.0.0.1:{port}/v1/chat/completions" in shown
        again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert again.returncode == 2
        assert f"--port {port}: Address already in use" in again.stderr
        yield Endless(f"http://127.0.0.1:{port}/v1", folder)
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
        check_free("127.0.0.1", port)
        assert not [p for p in processes() if str(folder) in p]
    finally:
        server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text())
        except OSError:
            continue
    return found


def until_greeted(server: "subprocess.Popen[str]") -> str:
    lines: queue.Queue[str] = queue.Queue()
    stream = server.stdout
    assert stream is not None

    def read() -> None:
        for line in stream:
            lines.put(line)

    threading.Thread(target=read, daemon=True).start()
    shown = ""
    while "Ctrl-C stops it" not in shown:
        shown += lines.get(timeout=400)
    return shown


def save(folder: Path, tokenizer_folder: Path) -> None:
    import torch
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    torch.manual_seed(0)
    shape = tiny_shape(init_std=0.2, qk_nope_head_dim=24, v_head_dim=32)
    DeepseekV3ForCausalLM(DeepseekV3Config(**describe_shape(shape))).save_pretrained(folder)
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    shutil.copy(tokenizer_folder / "tokenizer.json", tokenizer)
    write_chat_files(tokenizer)
    describe_checkpoint(folder, shape, tokenizer, {})


def ask(served: Endless, **options: Any) -> Any:
    """A request's answer, which the same request as a stream must equal."""
    from openai import OpenAI

    client = OpenAI(base_url=served.url, api_key="none", max_retries=0)
    settings: dict[str, Any] = {"temperature": 0.0, "max_tokens": 60} | options
    whole = client.chat.completions.create(model="k2", **settings).choices[0]
    calls: list[Any] = []
    text, finish = "", None
    for chunk in client.chat.completions.create(model="k2", stream=True, **settings):
        for choice in (choice for choice in chunk.choices if choice.index == 0):
            text += choice.delta.content or ""
            calls += choice.delta.tool_calls or []
            finish = choice.finish_reason or finish
    assert text == (whole.message.content or "")
    assert finish == whole.finish_reason
    said = [(c.id, c.function.name, c.function.arguments) for c in whole.message.tool_calls or []]
    assert said == [(c.id, c.function.name, c.function.arguments) for c in calls]
    assert [c.index for c in calls] == list(range(len(calls)))
    return whole


@pytest.mark.slow
def test_prompts_are_the_tokens_that_training_gave(served: Endless) -> None:
    from openai import OpenAI

    client: Any = OpenAI(base_url=served.url, api_key="none", max_retries=0)
    for form in list_forms(ChatCodec(served.folder)):
        made = client.chat.completions.create(
            model="k2",
            messages=form.messages,
            tools=form.tools or None,
            max_tokens=1,
            extra_body={"return_token_ids": True},
        )
        assert made.prompt_token_ids == form.token_ids, form.name


@pytest.mark.slow
@pytest.mark.parametrize("messages", [USER, HISTORY], ids=["first", "later"])
@pytest.mark.parametrize(
    ("choice", "options"),
    [
        ("auto", {}),
        ("none", {}),
        ("required", {}),
        ("required", {"parallel_tool_calls": False}),
        ("required", {"temperature": 1.0, "seed": 3}),
        ("required", {"temperature": 1.0, "seed": 4}),
        (NAMED, {}),
    ],
)
def test_tool_choices(
    served: Endless, messages: list[Any], choice: object, options: dict[str, Any]
) -> None:
    settings = {"max_tokens": 300, **options}
    answer = ask(served, messages=messages, tools=TOOLS, tool_choice=choice, **settings)
    calls = answer.message.tool_calls or []
    made = 2 * (messages is HISTORY)
    for place, call in enumerate(calls):
        assert call.id == f"functions.{call.function.name}:{made + place}"
        assert call.function.name in ("measure", "look-up")
        assert read_schema(SMALL).find_breaches(json.loads(call.function.arguments)) == []
    assert "<|" not in (answer.message.content or "")
    if choice == "none":
        assert not calls
    if choice == "required":
        assert calls
        assert answer.finish_reason == "tool_calls"
    if choice is NAMED:
        assert [call.function.name for call in calls] == ["look-up"]
    if options.get("parallel_tool_calls") is False:
        assert len(calls) == 1


@pytest.mark.slow
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["no tools", "tools"])
def test_structured_outputs(served: Endless, tools: list[Any] | None) -> None:
    given = {"tools": tools} if tools else {}
    answer = ask(served, messages=USER, response_format=FORMAT, max_tokens=300, **given)
    if not answer.message.tool_calls:
        assert read_schema(SMALL).find_breaches(json.loads(answer.message.content)) == []
    wanted = {"structured_outputs": {"choice": ["yes", "no"]}}
    answer = ask(served, messages=USER, extra_body=wanted, **given)
    assert answer.message.tool_calls or answer.message.content in ("yes", "no")


@pytest.mark.slow
def test_other_forms(served: Endless) -> None:
    from openai import BadRequestError

    text = ask(served, messages=USER).message.content
    assert text
    cut = ask(served, messages=USER, stop=[text[3:5]]).message.content
    assert cut == text[: text.find(text[3:5])]
    parts = [{"type": "text", "text": "How "}, {"type": "text", "text": "long?"}]
    assert ask(served, messages=[{"role": "user", "content": parts}]).message.content == text
    several = {"n": 2, "temperature": 1.0, "seed": 7, "max_tokens": 300}
    many = ask(served, messages=USER, tools=TOOLS, tool_choice="required", **several)
    assert many.message.tool_calls
    for bad in (
        {"messages": [{"role": "user", "content": "x " * 9000}]},
        {"messages": USER, "response_format": {"type": "json_schema"}},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
    ):
        with pytest.raises(BadRequestError):
            ask(served, **bad)


@pytest.mark.slow
def test_it_is_verified(served: Endless, tmp_path: Path) -> None:
    endpoint = Endpoint(url=served.url, model="k2", max_concurrent=4)
    requests = list_requests(12, 0)
    found = verify_endpoint(endpoint, requests, tmp_path / "a.jsonl", Asking(48, 0)).figures
    assert found.answered == 12
    assert found.keeps_its_word, found


@pytest.mark.slow
def test_nothing_is_left_behind_when_it_is_killed(
    served: Endless, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """Its engine ends with it, where nobody could tell it to."""
    save(tmp_path, tokenizer_folder)
    command = [sys.executable, "-m", "workflows.cli", "serve", str(tmp_path)]
    server = subprocess.Popen([*command, "--port", str(free_port())], cwd=ROOT)
    for _ in range(600):
        if len([p for p in processes() if str(tmp_path) in p]) > 1:
            break
        threading.Event().wait(0.1)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    for _ in range(300):
        left = [p for p in processes() if str(tmp_path) in p]
        if not left:
            break
        threading.Event().wait(0.1)
    assert left == []
