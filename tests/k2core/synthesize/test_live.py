"""Real servers: one is really called; the gold answers are held against other references."""

import json
import random
import subprocess
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from k2core.chat import validate_dialogue
from k2core.sandbox import Sandbox
from k2core.synthesize import MCP_VENV_ENV
from k2core.synthesize.judge import Judge
from k2core.synthesize.live import LIVE_FAMILIES, LiveGit, LiveTime
from k2core.synthesize.live_shard import live_entries, sample_live
from k2core.tools import servers
from k2core.tools.servers import NoJailError, ServersMissingError, jail, start_server
from schemas.synthesize import SynthesizeConfig


def test_the_time_server_is_really_called_in_its_jail(tmp_path: Path) -> None:
    config = SynthesizeConfig(live_per_server=8)
    with Sandbox.start() as sandbox:
        samples = list(sample_live(config, LiveTime(), Judge(sandbox), tmp_path))
    assert len(samples) == 8
    for dialogue, judgement, *_ in samples:
        assert judgement == (1.0, "")
        validate_dialogue(dialogue.messages)
        assert [m.role for m in dialogue.messages] == ["user", "assistant", "tool", "assistant"]
        result = json.loads(dialogue.messages[2].content)
        assert result.keys() == {"target", "time_difference"}  # no date of today
        assert result["target"]["time"] == dialogue.problem.expected["answer"]
        assert dialogue.problem.environment == "mcp_time"
    entries = live_entries(LiveTime(), tmp_path)
    assert {e.spec.name for e in entries} == {"convert_time", "get_current_time"}
    assert {(e.origin.license, e.origin.role) for e in entries} == {("MIT", "live")}
    assert entries[0].origin.source.startswith("mcp-server-time==")


def test_a_jail_shows_one_folder_and_no_network(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "secret").write_text("x")
    look = f"echo a > seen; ls {tmp_path} /etc/passwd; echo b > /usr/no; cat /proc/net/dev"
    found = subprocess.run(
        [*jail(data), "/bin/sh", "-c", look], capture_output=True, text=True, check=False
    )
    assert (data / "seen").read_text() == "a\n"
    assert found.stderr.count("No such file") == 2
    assert "Read-only file system" in found.stderr
    devices = [line.split(":")[0].strip() for line in found.stdout.splitlines() if ":" in line]
    assert devices == ["lo"]


def test_times_are_those_of_the_zones() -> None:
    rng = random.Random(1)
    for _ in range(300):
        content = LiveTime().draw(rng)
        for day in ("2026-01-15", "2026-07-15"):
            there = datetime.fromisoformat(f"{day}T{content['at']}").replace(
                tzinfo=ZoneInfo(content["source"])
            )
            here = there.astimezone(ZoneInfo(content["target"]))
            assert f"{here:%H:%M}" == content["expected"]["answer"]


def test_a_repository_is_reset_to_what_a_problem_says(tmp_path: Path) -> None:
    family = LiveGit()
    family.prepare(tmp_path)
    rng = random.Random(0)
    for _ in range(12):
        content = family.draw(rng)
        family.reset(None, tmp_path, content)  # type: ignore[arg-type]
        branch = content["branch"] if content["tools"] == ["git_status"] else "main"
        assert family.read_state(tmp_path) == {"branch": branch}
        heads = {p.name for p in (tmp_path / ".git" / "refs" / "heads").iterdir()}
        assert heads == {"main", content["branch"]}


@pytest.mark.parametrize("family", LIVE_FAMILIES, ids=lambda f: f.server)
def test_a_problem_declares_the_tool_it_needs_and_hides_its_answer(family: LiveTime) -> None:
    rng = random.Random(2)
    for _ in range(50):
        content = family.draw(rng)
        answer = content["expected"].get("answer")
        assert len(content["tools"]) == 1
        assert (answer is None) == (content.get("verifier") == "final_state")
        assert answer is None or f'"{answer}"' not in content["request"]


def test_a_server_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(MCP_VENV_ENV, str(tmp_path))
    with (
        pytest.raises(ServersMissingError, match=r"mcp-server-moon is missing: run `make setup`"),
        start_server("moon", (), tmp_path),
    ):
        pass


def test_a_server_that_does_not_start_is_named_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Below a temporary folder, which the jail has one of its own of.
    command = tmp_path / "venv" / "bin" / "mcp-server-time"
    command.parent.mkdir(parents=True)
    command.write_text("#!/bin/sh\necho no clock here >&2\nexit 3\n")
    command.chmod(0o755)
    monkeypatch.setenv(MCP_VENV_ENV, str(tmp_path / "venv"))
    data = tmp_path / "data"
    data.mkdir()
    with (
        pytest.raises(ServersMissingError, match="mcp-server-time does not start: no clock here"),
        start_server("time", [], data),
    ):
        pass


def test_without_a_jail_no_server_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setattr(servers, "_bubblewrap_works", lambda: False)
    command = ["/bin/sh", "-c", f"touch {tmp_path}/escaped"]
    with (
        pytest.raises(NoJailError, match="install bwrap"),
        servers.open_server("evil", command, data),
    ):
        pass
    with pytest.raises(NoJailError), LiveTime().start(data):
        pass
    assert not (tmp_path / "escaped").exists()
    with (
        pytest.raises(ServersMissingError, match="does not start"),
        servers.open_server("evil", command, data, unsafe=True),
    ):
        pass
    assert (tmp_path / "escaped").exists()  # as it says: unsafe


HOSTILE = r"""
import json, sys
TOOLS = ("plain", "large", "line", "nonsense", "list", "strange", "two", "nested", "gone")
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    answer = {"jsonrpc": "2.0", "id": asked["id"]}
    said = lambda text: {"content": [{"type": "text", "text": text}], "isError": False}
    if asked["method"] == "initialize":
        version = asked["params"]["protocolVersion"]
        about = {"name": "evil", "version": "1"}
        result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
    elif asked["method"] == "tools/list":
        result = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}
    else:
        name = asked["params"]["name"]
        if name == "gone":
            sys.exit(3)
        texts = {"plain": "fine", "large": "x" * 100_000, "line": "x" * 3_000_000, "two": "fine"}
        result = {"nonsense": {"content": 5}, "list": [1], "strange": said("\ud83d")}.get(name)
        if name == "nested":
            print('{"jsonrpc": "2.0", "result": ' + "[" * 200_000, flush=True)
        if result is None:
            result = said(texts.get(name, "fine"))
        if name == "two":
            print("this is no JSON", flush=True)
            print(json.dumps(answer | {"id": 999, "result": result}), flush=True)
    print(json.dumps(answer | {"result": result}), flush=True)
"""


def test_whatever_a_server_returns_is_a_result_of_bounded_size(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    said = {}
    with servers.open_server("evil", ["/usr/bin/python3", "-I", "-c", HOSTILE], data) as server:
        for tool in server.list_tools():
            said[tool.name] = server.call(tool.name, {})
            if tool.name != "gone":
                assert server.call("plain", {}) == ("fine", False), f"after {tool.name}"
        assert server.call("plain", {}).is_error
    assert said["plain"] == said["two"] == said["nested"] == ("fine", False)
    large = "result too large: 100000 bytes, at most 65536; ask for less"
    assert json.loads(said["large"].text) == {"error": large}
    assert said["strange"] == ("?", False)
    assert "no message of MCP" in said["list"].text
    assert said["line"].text.startswith("result too large: more than 1048576 bytes")
    assert {name for name, (_, wrong) in said.items() if wrong} == {
        "large", "line", "nonsense", "list", "gone"
    }  # fmt: skip
    assert max(len(text) for text, _ in said.values()) < 1000
