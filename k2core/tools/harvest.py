"""Harvests real tools: starts servers in a jail, lists, checks, dedups, keeps provenance.

A server's listing is a file of its own, so that a killed harvest goes on with the next server; one
that fails is reported and stops no other.
"""

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue, ValidationError

from k2core.chat.schemas import read_schema
from k2core.tools.catalogue import ServerEntry
from k2core.tools.domains import classify_tool
from k2core.tools.install import InstallError, install_server
from k2core.tools.installed import open_entry
from k2core.tools.listed import CatalogEntry
from k2core.tools.orders import find_orders
from k2core.tools.servers import ServersMissingError, StatedTool
from schemas.chat import ToolSpec
from schemas.tools import RealTool

_FAULTS = (InstallError, ServersMissingError, OSError, TimeoutError)


class Listing(NamedTuple):
    """What one server gave."""

    server: str
    source: str
    license: str
    tools: tuple[RealTool, ...] = ()
    rejected: dict[str, int] = {}  # noqa: RUF012 (a tuple's default; never changed)
    """Reason -> tools."""
    fault: str = ""
    """Why it gave nothing."""
    differs: str = ""
    """How it differs from what the catalogue says, if it does."""

    @property
    def digest(self) -> str:
        """First 12 digits of the SHA-256 over the tools, in whatever order they were listed."""
        lines = sorted(tool.spec.model_dump_json() for tool in self.tools)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def harvest_servers(entries: Sequence[ServerEntry], root: Path, locks: Path) -> Iterator[Listing]:
    """Install, start and list each server; what an earlier harvest listed is read again.

    Args:
        entries: the servers.
        root: folder that keeps packages and listings.
        locks: folder of the pins of what packages from PyPI depend on.
    """
    root = root.resolve()  # scripts of virtual environments name it
    (root / "listings").mkdir(parents=True, exist_ok=True)
    for entry in entries:
        kept = root / "listings" / f"{entry.name}-{entry.key}.json"
        if not kept.exists():
            try:
                stated = list_server(entry, install_server(entry, root, locks / entry.pins))
            except _FAULTS as error:
                fault = " ".join(str(error).split()) or type(error).__name__
                yield Listing(entry.name, entry.source, entry.license, fault=fault)
                continue
            _write(kept, [tool._asdict() for tool in stated])
        yield check_tools(entry, [StatedTool(**tool) for tool in json.loads(kept.read_text())])


def list_server(entry: ServerEntry, home: Path) -> list[StatedTool]:
    """Start it in a jail and take down what it says of its tools.

    Raises:
        ServersMissingError: it does not start, or does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="k2-mcp-") as place:
        folder = Path(place) / "data"
        folder.mkdir()
        try:
            with open_entry(entry, home, folder) as server:
                return server.list_stated()
        except ServersMissingError:
            raise
        except Exception as error:
            raise ServersMissingError(f"{entry.name} does not list its tools: {error}") from error


def check_tools(entry: ServerEntry, stated: Iterable[StatedTool]) -> Listing:
    """Keep what can be declared and whose schema is one; count the rest by reason."""
    tools, rejected = [], Counter[str]()
    for tool in stated:
        spec = make_spec(tool)
        if isinstance(spec, str):
            rejected[spec] += 1
            continue
        domain = classify_tool(spec.name, spec.description, entry.domain)
        tools.append(
            RealTool(
                spec=spec,
                domain=domain,
                server=entry.name,
                source=entry.source,
                license=entry.license,
                orders=find_orders(spec),
            )
        )
    listing = Listing(entry.name, entry.source, entry.license, tuple(tools), dict(rejected))
    if entry.tools is not None and (len(tools), listing.digest) != (entry.tools, entry.digest):
        differs = f"{len(tools)} tools {listing.digest}, not {entry.tools} {entry.digest}"
        return listing._replace(differs=differs)
    return listing


def make_spec(tool: StatedTool) -> ToolSpec | str:
    """The spec, or why it is none."""
    if not tool.description:
        return "no description"
    if read_schema(tool.parameters).fault:
        return "invalid schema"
    if tool.parameters.get("type") != "object":
        return "arguments are no object"
    try:
        return ToolSpec(name=tool.name, description=tool.description, parameters=tool.parameters)
    except ValidationError:
        return "name that no call may use"


def adopt_listed(entries: Iterable[CatalogEntry], domain: str = "search") -> list[RealTool]:
    """Tools that a package ships as a list, as real tools."""
    return [
        RealTool(
            spec=entry.spec,
            domain=classify_tool(
                entry.spec.name, f"{entry.server} {entry.spec.description}", domain
            ),
            server=entry.server,
            source=entry.origin.source,
            license=entry.origin.license,
            orders=find_orders(entry.spec),
        )
        for entry in entries
        if not isinstance(make_spec(StatedTool(*_parts(entry.spec))), str)
    ]


def drop_duplicates(tools: Iterable[RealTool]) -> list[RealTool]:
    """Each interface once (equal name, words and schema), the first server's."""
    kept: dict[str, RealTool] = {}
    for tool in tools:
        kept.setdefault(tool.spec.model_dump_json(), tool)
    return list(kept.values())


def write_repository(tools: Sequence[RealTool], listings: Sequence[Listing], out: Path) -> None:
    """The files of a `ToolRepository`, in an order that does not depend on the harvest's."""
    lines = sorted(tool.model_dump_json() for tool in tools)
    (out / "tools.jsonl").write_text("\n".join(lines) + "\n")
    servers: dict[str, JsonValue] = {
        found.server: {
            "source": found.source,
            "license": found.license,
            "tools": len(found.tools),
            "digest": found.digest,
            "rejected": dict(found.rejected),
        }
        for found in sorted(listings)
        if not found.fault
    }
    (out / "servers.json").write_text(json.dumps(servers, indent=1) + "\n")


def read_repository(folder: Path) -> list[RealTool]:
    """The tools of a `ToolRepository`."""
    lines = (folder / "tools.jsonl").read_text().splitlines()
    return [RealTool.model_validate_json(line) for line in lines]


def _parts(spec: ToolSpec) -> tuple[str, str, dict[str, Any]]:
    return spec.name, spec.description, dict(spec.parameters)


def _write(path: Path, content: Any) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(content))
    aside.rename(path)
