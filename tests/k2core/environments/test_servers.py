"""Live MCP servers as environments: what one dialogue does is not there for another."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest
from pydantic import JsonValue, ValidationError

from k2core.agents import Opening, Session, close_session
from k2core.environments import servers
from k2core.environments.servers import list_tools
from k2core.problems import ProblemSourceError, own_families, training_problem
from k2core.rewards import judge_dialogue
from k2core.sandbox import Sandbox
from k2core.tools.servers import CallResult, McpServer, StatedTool
from schemas.chat import Message, Problem, ToolCall
from schemas.problems import FileSource, ProblemsConfig, ServerSpec, Sources

SPEAKS = """
import json, sys

for line in sys.stdin:
    asked = json.loads(line)
    said = {"jsonrpc": "2.0", "id": asked.get("id")}
    if asked["method"] == "initialize":
        version = asked["params"]["protocolVersion"]
        named = {"name": "s", "version": "1"}
        told = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": named}
        print(json.dumps(said | {"result": told}), flush=True)
    elif asked["method"] == "tools/list":
        print(json.dumps(said | json.loads(sys.argv[1])), flush=True)
    elif asked["method"] == "tools/call":
        result = asked["params"]["arguments"]
        if asked["params"]["name"] != "geo.look up" or "query" in result:
            sys.exit()
        print(json.dumps(said | {"result": result}), flush=True)
"""
ODD = '{"result": {"tools": [{"name": "geo.look up", "inputSchema": {"type": "object"}}]}}'
PICTURE = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
INSIDE = {"type": "resource", "resource": {"uri": "file:///a.txt", "text": "inside"}}
LINK = {"type": "resource_link", "uri": "file:///b.txt", "name": "b"}
NO_NAME = '{"result": {"tools": [{"name": "9 b", "inputSchema": {"type": "object"}}]}}'
SQLITE = ("mcp-server-sqlite", "--db-path", "stock.db")


@pytest.fixture(scope="module")
def opening() -> Iterator[Opening]:
    with Sandbox.start() as sandbox, Opening(sandbox) as opened:
        yield opened


def asking(folder: Path, **server: object) -> ProblemsConfig:
    path = folder / "own.jsonl"
    expected = {"state": {"files": {"notes.txt": "as it was"}}, "answer": "1"}
    rows = [{"prompt": f"What is in the table {n}?", "expected": expected} for n in range(9)]
    path.write_text("\n".join(map(json.dumps, rows)))
    start = folder / "start"
    start.mkdir(exist_ok=True)
    (start / "notes.txt").write_text("as it was")
    fields = {"command": SQLITE, "folder": str(start), "side_by_side": 1} | server
    source = {
        "name": "stock",
        "path": str(path),
        "verifier": "final_state",
        "server": fields,
        "max_turns": 9,
    }
    sources = Sources(files=(FileSource.model_validate(source),))
    return ProblemsConfig(families={}, sources=sources)


def ask(session: Session, tool: str, query: str) -> str:
    call = ToolCall(
        id=f"functions.{tool}:{session.num_calls}",
        name=tool,
        arguments=json.dumps({"query": query}),
    )
    return session.reply(Message(role="assistant", tool_calls=(call,)))[0].content


def test_each_dialogue_has_the_server_to_itself(tmp_path: Path, opening: Opening) -> None:
    config = asking(tmp_path, tools=["write_query", "read_query", "create_table"])
    problem: Problem = training_problem(config, 0)
    assert [tool.name for tool in problem.tools] == ["write_query", "read_query", "create_table"]
    first, second = opening.open(problem), opening.open(problem)
    for session in (first, second):  # in turns, though one server runs at a time
        assert "error" not in ask(session, "create_table", "CREATE TABLE t (n INTEGER)").lower()
    assert ask(first, "read_query", "SELECT n FROM t") == "[]"  # after its own call, once more
    assert "unknown tool" in ask(first, "list_tables", "")
    files = first.state["files"]
    assert isinstance(files, dict)
    assert files.keys() == {"notes.txt", "stock.db"}
    first.reply(Message(role="assistant", content="1"))
    with Sandbox.start() as sandbox:
        assert judge_dialogue(close_session(first, "nobody"), sandbox) == (1.0, "")


def test_another_program_or_folder_is_another_config(tmp_path: Path) -> None:
    spec = asking(tmp_path).sources.files[0].server
    assert spec is not None
    assert spec == ServerSpec.model_validate(spec.model_dump())
    (tmp_path / "start" / "notes.txt").write_text("otherwise")
    again = ServerSpec(command=SQLITE, folder=spec.folder)
    assert again.signed != spec.signed
    with pytest.raises(ValueError, match="changed since the config was stated"):
        list_tools(spec)
    with pytest.raises(ValidationError, match="there is no such folder"):
        ServerSpec(command=SQLITE, folder=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ({"command": ["mcp-server-nowhere"]}, "stock: mcp-server-nowhere does not start"),
        ({"tools": ["fly"]}, "stock: mcp-server-sqlite has no 'fly'; it has"),
    ],
)
def test_a_server_that_is_not_there_is_named(
    tmp_path: Path, server: dict[str, object], words: str
) -> None:
    with pytest.raises(ProblemSourceError, match=words):
        own_families(asking(tmp_path, **server))


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ('{"result": {"tools": []}}', "has no tool that can be called"),
        (NO_NAME, "has no tool that can be called"),
        ('{"error": {"code": -1, "message": "not today"}}', "does not list its tools: not today"),
        ('{"result": {"tools": [], "nextCursor": "more"}}', "no end to them after 100 pages"),
        ("{", "does not list its tools: "),
    ],
)
def test_a_server_that_lists_no_tools_is_named(tmp_path: Path, listed: str, words: str) -> None:
    program = tmp_path / "server.py"
    program.write_text(SPEAKS)
    with pytest.raises(ProblemSourceError, match=f"^stock: .*{words}"):
        own_families(asking(tmp_path, command=["python3", str(program), listed]))


@pytest.mark.parametrize(
    ("result", "heard"),
    [
        ({"content": [{"type": "text", "text": "a"}, PICTURE]}, "a\n[image image/png]"),
        ({"content": [INSIDE, LINK]}, "inside\n[resource_link file:///b.txt]"),
        ({"content": [], "structuredContent": {"n": 1}}, '{"n": 1}'),
        ({"content": [], "isError": True}, ""),
        ({"content": [{"type": "hologram"}]}, "13 validation errors"),
        ({"query": "end"}, "Connection closed"),
    ],
)
def test_whatever_a_server_answers_is_told_and_the_next_call_meets_it_alive(
    tmp_path: Path, opening: Opening, result: dict[str, object], heard: str
) -> None:
    program = tmp_path / "server.py"
    program.write_text(SPEAKS)
    problem = training_problem(asking(tmp_path, command=["python3", str(program), ODD]), 0)
    assert [tool.name for tool in problem.tools] == ["geo_look_up"]
    session = opening.open(problem)
    assert session.state == {"files": {"notes.txt": "as it was"}}
    for said, answer in ((result, heard), ({"content": [{"type": "text", "text": "on"}]}, "on")):
        call = ToolCall(
            id=f"functions.geo_look_up:{session.num_calls}",
            name="geo_look_up",
            arguments=json.dumps(said),
        )
        (told,) = session.reply(Message(role="assistant", tool_calls=(call,)))
        assert told.content.startswith(answer)


def test_calls_of_dialogues_run_side_by_side_as_many_as_servers_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight dialogues of two calls each; each server knows its own calls alone."""
    busy, most, lock = 0, 0, threading.Lock()

    class Slow:
        def __init__(self) -> None:
            self.calls, self.is_gone = 0, False

        def list_stated(self) -> list[StatedTool]:
            return [StatedTool("read_query", "", {"type": "object"})]

        def call(self, name: str, arguments: dict[str, JsonValue]) -> CallResult:
            nonlocal busy, most
            with lock:
                busy, most = busy + 1, max(most, busy + 1)
            time.sleep(0.02)
            with lock:
                busy -= 1
            self.calls += 1
            return CallResult(f"{self.calls}. {arguments['query']}", is_error=False)

    def start(_: ServerSpec) -> servers._Running:
        return servers._Running(cast("McpServer", Slow()), tmp_path / "start", ExitStack(), 0)

    monkeypatch.setattr(servers, "start_fresh", start)
    problem = training_problem(asking(tmp_path, side_by_side=4), 0)
    with Sandbox.start() as sandbox, Opening(sandbox) as opened:
        sessions = [opened.open(problem) for _ in range(8)]

        def play(session: Session) -> list[str]:
            return [ask(session, "read_query", word) for word in ("one", "two")]

        with ThreadPoolExecutor(8) as pool:
            heard = list(pool.map(play, sessions))
    assert heard == [["1. one", "2. two"]] * 8
    assert most == 4
