"""Chat: calls are really executed, broken dialogues start anew, problems are judged as always."""

import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from k2core.chat import ChatCodec
from k2core.chat.exchange import validate_line
from k2core.chat.tokens import END
from k2core.engines.scripted import ScriptedEngine
from k2core.problems import held_out_problems
from schemas.artifacts import Release
from schemas.problems import ProblemsConfig
from tests.k2core.serving.fake import Behaviour, Body, send, send_stream, serving
from tests.workflows.conftest import Record
from workflows import chat
from workflows.chat import Partner
from workflows.errors import MendableError
from workflows.talking import talk

RELEASE = Release(digest="sha256:" + "f" * 64)
Script = Callable[[Sequence[str]], Partner]


@pytest.fixture(scope="module", autouse=True)
def _released(record: Record) -> None:
    problems = ProblemsConfig().model_dump(mode="json")
    record("one-1", "release", {}, {"release": RELEASE}, problems=problems)


@pytest.fixture
def play(codec: ChatCodec, monkeypatch: pytest.MonkeyPatch) -> Script:
    """A released model that says these texts in turn."""

    def start(texts: Sequence[str]) -> Partner:
        script = iter(texts)
        engine = ScriptedEngine(lambda prompt, how: encode(codec, next(script)))
        partner = Partner(engine, codec, 1024, 0.0)

        @contextmanager
        def serve(artifact: Release, temperature: float) -> Iterator[Partner]:
            assert artifact.digest == RELEASE.digest
            yield partner

        monkeypatch.setattr(chat, "serve_artifact", serve)
        return partner

    return start


def encode(codec: ChatCodec, text: str) -> list[int]:
    """As a model would write it: special tokens are special."""
    tokenizer = codec._tokenizer
    tokenizer.encode_special_tokens = False
    ids = list(tokenizer.encode(text).ids)
    tokenizer.encode_special_tokens = True
    return ids


Said = str | Body | Behaviour
"""A text, a call as name -> arguments, or anything else."""


def part(delta: Body, finish: str | None = None) -> Body:
    common = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    return {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def scripted(said: Sequence[Said]) -> Behaviour:
    """An endpoint that says these in turn; calls are given the ids of another provider."""
    script = iter(said)

    def behave(handler: BaseHTTPRequestHandler, body: Body) -> None:
        now = next(script)
        if callable(now):
            now(handler, body)
        elif isinstance(now, str):
            send_stream(handler, [part({"content": now[:3]}), part({"content": now[3:]}, "stop")])
        else:
            calls = [
                {"index": n, "id": f"call_{n}", "function": {"name": name, "arguments": text}}
                for n, (name, text) in enumerate(now.items())
            ]
            send_stream(handler, [part({"tool_calls": calls}), part({}, "tool_calls")])

    return behave


def ask(said: Sequence[Said], texts: Sequence[str], mcp: str = "") -> list[Body]:
    """Talk; returns what the endpoint was asked."""
    with serving(scripted(said)) as (endpoint, asked):
        talk(endpoint, texts, 0.0, mcp)
    return asked


def test_calls_are_executed_and_counted_over_the_whole_dialogue(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ask(
        [
            {"multiply": '{"a":12,"b":34}', "add": '{"a":1,"b":1}'},
            "408",
            {"add": '{"a":408,"b":1}'},
            "409",
        ],
        ["What is 12 * 34?", "And 1 more?"],
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        '  multiply {"a":12,"b":34}',
        '  = {"result":408}',
        '  add {"a":1,"b":1}',
        '  = {"result":2}',
        "408",
        '  add {"a":408,"b":1}',
        '  = {"result":409}',
        "409",
    ]
    ids = [c["id"] for m in asked[-1]["messages"] for c in m.get("tool_calls", ())]
    assert ids == ["functions.multiply:0", "functions.add:1", "functions.add:2"]
    assert [tool["function"]["name"] for tool in asked[-1]["tools"]] == ["add", "multiply"]


def test_a_call_that_is_none_does_not_end_the_dialogue(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ask(
        [{"add": "{"}, "sorry", {"no such": "{}"}, {"sub": "{}"}, "well"], ["one", "two", "three"]
    )
    out = capsys.readouterr().out
    assert "arguments" in out
    assert "the call is left out" in out
    assert '= {"error":"unknown tool sub"}' in out
    assert [m["content"] for m in asked[-1]["messages"] if m["role"] == "user"] == [
        "one",
        "two",
        "three",
    ]


def test_a_model_that_never_stops_calling_is_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ask([{"add": '{"a":1,"b":1}'}] * 99, ["What is 1 + 1?"])
    assert len(asked) == 12
    assert "still calling" in capsys.readouterr().out


def test_what_a_model_writes_is_neither_markup_nor_control(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ask(["[red]x[/blue] \x1b[2J"], ["hi"])
    assert capsys.readouterr().out == "[red]x[/blue] \ufffd[2J\n"


def test_a_live_server_is_called_in_its_jail(capsys: pytest.CaptureFixture[str]) -> None:
    zones = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
    asked = ask([{"convert_time": json.dumps(zones)}, "21:00"], ["Tokyo?"], mcp="time")
    assert {t["function"]["name"] for t in asked[0]["tools"]} >= {"convert_time"}
    assert "T21:00:00+09:00" in asked[1]["messages"][-1]["content"]
    with pytest.raises(MendableError, match=r"--mcp nonsense: servers.yaml has no server"):
        ask([], ["hi"], mcp="nonsense")


def calling(*indices: object) -> Body:
    function = {"name": "add", "arguments": '{"a":1,"b":1}'}
    return part({"tool_calls": [{"index": i, "id": "x", "function": function} for i in indices]})


def raw(data: bytes) -> Behaviour:
    return lambda handler, _: send(handler, data)


def events(*said: object) -> Behaviour:
    lines = [f"data: {json.dumps(event)}\n\n" for event in (*said, "end")]
    return raw("".join(lines).replace('"end"', "[DONE]").encode())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (raw(b"<html>It works</html>"), "no stream of events: '<html>It works"),
        (raw(b""), "no stream of events"),
        (raw(b'{"choices": [{"message": {"content": "hi"}}]}'), "no stream of events"),
        (raw(b"data: {nope\n\n"), "answer is broken"),
        (raw(b"data: " + b"[" * 9000), "more than 100 deep"),
        (raw(b": " + b"x" * 5_000_000), "more than 4,194,304 bytes"),
        (events(None), "no chat completion"),
        (events({"choices": None}), "no chat completion"),
        (events({"choices": [None]}), "no chat completion"),
        (events(part([])), "no chat completion"),  # type: ignore[arg-type]
        (events(part({"content": 5})), "no chat completion"),
        (events({"error": {"message": "overloaded"}}), "an error: overloaded"),
        (events(calling(None, 0)), "tool_calls.0.index"),
        (events(calling(0.5)), "tool_calls.0.index"),
        (events(part({"tool_calls": [None]})), "tool_calls.0"),
        (lambda h, _: send(h, b"oops", 500), "no answer: "),
        (lambda h, _: send(h, b"data: {", length=99), "no answer: "),
        (lambda h, _: h.wfile.write(b"no http"), "no answer: "),
    ],
)
def test_what_is_no_answer_is_told(said: Behaviour, told: str) -> None:
    with pytest.raises(MendableError, match="no answer: ") as error:
        ask([said, said], ["hi"])
    assert told in str(error.value)


def test_an_answer_that_breaks_off_is_told_and_calls_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = f"data: {json.dumps(part({'content': 'Half'}))}\n\n"
    half = f"data: {json.dumps(calling(0))}\n\n"
    asked = ask([raw(f"{line}{half}".encode()), events(part({}, "stop"))], ["one", "two"])
    out = capsys.readouterr().out
    assert out == "Half\n(the stream broke off before its end)\n(an empty answer)\n"
    assert [m["content"] for m in asked[1]["messages"]] == ["one", "Half", "two"]


class Terminal:
    """`k2 chat` in a terminal of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        master, slave = pty.openpty()
        self._master, self._seen, self.shown = master, 0, ""
        command = [sys.executable, "-m", "workflows.cli", "chat", "--url", url]
        home = {"K2_HOME": str(folder), "TERM": "xterm", "COLUMNS": "200"}
        self.process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            env={**os.environ, **home},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def interrupt(self, text: str) -> None:
        """Ctrl-C until this is shown: one between a prompt and Python's wait for a key is lost."""
        self.type("\x03")
        self.wait_for(text, again="\x03")

    def wait_for(self, text: str, again: str = "") -> None:
        """Until this is shown, after what was waited for before."""
        until = time.monotonic() + 120
        while text not in self.shown[self._seen :]:
            assert time.monotonic() < until, self.shown
            if not select.select([self._master], [], [], 2.0)[0]:
                self.type(again)
            else:
                try:
                    self.shown += os.read(self._master, 4096).decode(errors="replace")
                except OSError:
                    break
        assert text in self.shown[self._seen :], self.shown
        self._seen = self.shown.index(text, self._seen) + len(text)


def slow(handler: BaseHTTPRequestHandler, _: Body) -> None:
    handler.send_response(200)
    handler.end_headers()
    event = f"data: {json.dumps(part({'content': 'Once upon'}))}\n\n"
    handler.wfile.write(event.encode())
    handler.wfile.flush()
    time.sleep(3)


def test_keys_and_commands_do_what_people_expect(tmp_path: Path) -> None:
    fails: Behaviour = lambda handler, _: send(handler, b"{}", 404)  # noqa: E731
    said: list[Said] = ["hello", slow, "again", fails, "five", "last"]
    with serving(scripted(said)) as (endpoint, asked):
        terminal = Terminal(endpoint.url, tmp_path)
        terminal.wait_for("> ")
        terminal.type("/help\n")
        terminal.wait_for("/save FILE")
        terminal.type("/tools\n")
        terminal.wait_for("add(a, b)  Add two numbers.")
        terminal.type("/system Be brief.\n")
        terminal.wait_for("Be brief.\x1b[0m\r\n")
        terminal.type("hi\n")
        terminal.wait_for("hello\r\n")
        terminal.wait_for("> ")  # a key is a key once there is a prompt: before, the terminal's own
        terminal.type("half a li")
        terminal.wait_for("half a li")
        terminal.interrupt("(Ctrl-D ends)")
        terminal.type("story\n")
        terminal.wait_for("Once upon")
        terminal.interrupt("(interrupted)")
        terminal.wait_for("> ")
        terminal.type("\x1b[A\n")  # the arrow key: the last line again
        terminal.wait_for("again\r\n")
        terminal.type("lost\n")
        terminal.wait_for("the dialogue is kept")
        terminal.type(f"/save {tmp_path / 'saved.jsonl'}\n")
        terminal.wait_for("saved to")
        terminal.type("/nonsense\n")
        terminal.wait_for("no command /nonsense")
        terminal.type("//five\n")
        terminal.wait_for("five\r\n")
        terminal.wait_for("five\r\n")
        terminal.type("/reset\n")
        terminal.wait_for("(a new dialogue)")
        terminal.wait_for("> ")
        terminal.type("last\n")
        terminal.wait_for("last\r\n> ")
        terminal.type("\x04")
        assert terminal.process.wait(120) == 0
    users = [[m["content"] for m in body["messages"] if m["role"] == "user"] for body in asked]
    assert users == [
        ["hi"],
        ["hi", "story"],
        ["hi", "story", "story"],
        ["hi", "story", "story", "lost"],
        ["hi", "story", "story", "/five"],
        ["last"],
    ]
    assert all(body["messages"][0] == {"role": "system", "content": "Be brief."} for body in asked)
    assert list(validate_line((tmp_path / "saved.jsonl").read_text())) == []
    assert "half a li" not in json.dumps(asked)
    assert "last" in (tmp_path / "chat_history").read_text().splitlines()


@pytest.mark.slow
def test_lines_may_be_piped_in(tmp_path: Path) -> None:
    with serving(scripted(["one", "two"])) as (endpoint, _):
        done = subprocess.run(
            [sys.executable, "-m", "workflows.cli", "chat", "--url", endpoint.url],
            input="a\n\nb\n",
            cwd=Path(__file__).parents[2],
            env={**os.environ, "K2_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, "one\ntwo\n"), done.stderr


@pytest.mark.parametrize(("shift", "verdict"), [(0, "passed"), (1, "failed: wrong_answer")])
def test_a_problem_is_judged_by_its_verifier(
    play: Script, capsys: pytest.CaptureFixture[str], shift: int, verdict: str
) -> None:
    config = ProblemsConfig(families={"sum_mental": 1.0})
    problem = held_out_problems(config)[3]
    answer = int(str(problem.expected["answer"]))
    play([f"{answer + shift}{END}"])
    chat.solve("latest", "sum_mental", 3, 0.0)
    out = capsys.readouterr().out
    assert out.startswith(f"> {problem.messages[0].content}\n{answer + shift}\n")
    assert f"{problem.problem_id} {verdict} (expected: {answer})" in out


def test_a_number_beyond_the_split_is_named(play: Script) -> None:
    play([])
    with pytest.raises(MendableError, match="--number 100: compare has problems 0 to 99"):
        chat.solve("latest", "compare", 100, 0.0)


def test_a_family_that_nobody_asks_is_named(play: Script) -> None:
    play([])
    with pytest.raises(MendableError, match="no family 'chess'; there are sum_mental, "):
        chat.solve("latest", "chess", 0, 0.0)
