"""A harvest goes on past what fails, keeps only what can be declared, and can be repeated."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from k2core.tools import harvest
from k2core.tools.catalogue import PERMISSIVE, ServerEntry, read_catalogue
from k2core.tools.domains import DOMAINS, classify_tool
from k2core.tools.harvest import (
    adopt_listed,
    check_tools,
    drop_duplicates,
    harvest_servers,
    list_server,
    make_spec,
    read_repository,
    write_repository,
)
from k2core.tools.install import InstallError, check_license, install_server
from k2core.tools.listed import read_listed_tools
from k2core.tools.servers import ServersMissingError, StatedTool, find_venv

OBJECT: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
CLOCK = ServerEntry(
    name="clock",
    ecosystem="pypi",
    package="mcp-server-time",
    version="1",
    before="2026-01-01",
    license="MIT",
    domain="calendar",
    command=("{home}/bin/mcp-server-time", "--local-timezone", "UTC"),
)
NOTHING = Path("/dev/null")


def tool(
    name: str, description: str = "Sends a message.", parameters: dict[str, Any] = OBJECT
) -> StatedTool:
    return StatedTool(name, description, parameters)


def test_the_catalogue_is_pinned_and_permissive() -> None:
    entries = read_catalogue()
    assert len(entries) >= 20
    for entry in entries:
        assert entry.license in PERMISSIVE
        assert entry.domain in DOMAINS
        assert entry.version[0].isdigit()
        assert any("{home}" in part for part in entry.command)
    assert len({entry.key for entry in entries}) == len(entries)


def test_a_wrong_field_of_the_catalogue_is_named(tmp_path: Path) -> None:
    path = tmp_path / "servers.yaml"
    path.write_text("before: x\nservers:\n  a: {ecosystem: gem}\n")
    with pytest.raises(ValueError, match=r"servers\.yaml: server a: ecosystem: "):
        read_catalogue(path)


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        (tool("send.now"), "name that no call may use"),
        (tool("x" * 65), "name that no call may use"),
        (tool("send", description=""), "no description"),
        (tool("send", parameters={"type": "object", "required": 3}), "invalid schema"),
        (tool("send", parameters={"type": "array"}), "arguments are no object"),
    ],
)
def test_what_no_model_could_call_is_left_out_with_a_reason(
    stated: StatedTool, reason: str
) -> None:
    assert make_spec(stated) == reason
    listing = check_tools(CLOCK, [stated, tool("send")])
    assert [found.spec.name for found in listing.tools] == ["send"]
    assert listing.rejected == {reason: 1}


def test_another_listing_than_the_catalogues_is_reported() -> None:
    once = check_tools(CLOCK, [tool("a"), tool("b")])
    known = CLOCK.model_copy(update={"tools": 2, "digest": once.digest})
    assert check_tools(known, [tool("b"), tool("a")]).differs == ""
    assert "not 2" in check_tools(known, [tool("a"), tool("c")]).differs


def test_a_real_server_is_listed_without_network() -> None:
    listed = list_server(CLOCK, find_venv())
    assert {found.name for found in listed} == {"get_current_time", "convert_time"}
    broken = CLOCK.model_copy(update={"command": ("{home}/bin/python", "-c", "raise OSError(7)")})
    with pytest.raises(ServersMissingError, match="OSError: 7"):
        list_server(broken, find_venv())


def test_a_failure_stops_no_other_server_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def install_some(entry: ServerEntry, root: Path, constraints: Path) -> Path:
        if entry.name == "bad":
            raise InstallError("no such package")
        return root

    def list_some(entry: ServerEntry, home: Path) -> list[StatedTool]:
        started.append(entry.name)
        return [tool("send")]

    monkeypatch.setattr(harvest, "install_server", install_some)
    monkeypatch.setattr(harvest, "list_server", list_some)
    entries = [CLOCK.model_copy(update={"name": name}) for name in ("one", "bad", "two")]
    for _ in range(2):
        found = list(harvest_servers(entries, tmp_path, NOTHING))
        assert [(x.server, len(x.tools), x.fault) for x in found] == [
            ("one", 1, ""),
            ("bad", 0, "no such package"),
            ("two", 1, ""),
        ]
    assert started == ["one", "two"]  # the second time from the listings


def test_a_repository_holds_each_interface_once_and_in_order(tmp_path: Path) -> None:
    listings = [
        check_tools(CLOCK.model_copy(update={"name": name}), [tool("b"), tool("a")])
        for name in ("one", "two")
    ]
    tools = [*listings[1].tools, *listings[0].tools]
    kept = drop_duplicates(tools)
    assert len(kept) == 2
    for number, given in enumerate((kept, kept[::-1])):
        (tmp_path / str(number)).mkdir()
        write_repository(given, listings[:: 1 - 2 * number], tmp_path / str(number))
    for name in ("tools.jsonl", "servers.json"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()
    assert sorted(read_repository(tmp_path / "0"), key=str) == sorted(kept, key=str)
    stated = json.loads((tmp_path / "0" / "servers.json").read_text())
    assert stated["one"]["license"] == "MIT"
    assert stated["one"]["tools"] == 2


def test_livemcpbenchs_tools_keep_their_provenance() -> None:
    tools = adopt_listed(read_listed_tools())
    assert len(tools) > 400
    assert {found.license for found in tools} == {"Apache-2.0"}
    assert len({found.domain for found in tools}) > 15


@pytest.mark.parametrize(
    ("name", "description", "domain"),
    [
        ("createInvoice", "Create an invoice for a customer.", "finance"),
        ("merge_branch", "Merge a branch of the repository.", "development"),
        ("xyzzy", "Plugh.", "media"),
        ("browser_click", "Click an element.", "browser"),
    ],
)
def test_words_tell_the_domain(name: str, description: str, domain: str) -> None:
    assert classify_tool(name, description, "media") == domain


def make_package(folder: Path, fields: dict[str, str], license_text: str = "") -> None:
    home = folder / "node_modules" / "p"
    home.mkdir(parents=True)
    (home / "package.json").write_text(json.dumps(fields))
    (home / "README.md").write_text(license_text)


@pytest.mark.parametrize(
    ("fields", "readme", "good"),
    [
        ({"license": "MIT"}, "", True),
        ({"license": "SEE LICENSE IN LICENSE"}, "Licensed under the MIT License.", True),
        ({"license": "SEE LICENSE IN LICENSE"}, "Limited to customers.", False),
        ({"license": "GPL-3.0"}, "MIT", False),
        ({}, "", False),
    ],
)
def test_a_package_under_another_licence_is_refused(
    tmp_path: Path, fields: dict[str, str], readme: str, *, good: bool
) -> None:
    entry = CLOCK.model_copy(update={"ecosystem": "npm", "package": "p"})
    make_package(tmp_path, fields, readme)
    if good:
        check_license(entry, tmp_path)
        return
    with pytest.raises(InstallError, match=r"servers\.yaml says MIT, p==1 itself"):
        check_license(entry, tmp_path)


def test_without_node_an_npm_server_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("k2core.tools.install.shutil.which", lambda _: None)
    entry = CLOCK.model_copy(update={"ecosystem": "npm"})
    with pytest.raises(InstallError, match="node and npm are not installed"):
        install_server(entry, tmp_path, NOTHING)


def test_a_failed_installation_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    false = subprocess.run([sys.executable, "-c", "exit(3)"], check=False)
    assert false.returncode == 3
    monkeypatch.setattr("k2core.tools.install.sys.executable", "/bin/false")
    with pytest.raises(InstallError, match="false failed"):
        install_server(CLOCK, tmp_path, NOTHING)
    assert not list(tmp_path.glob("clock-*"))
