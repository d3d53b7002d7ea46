"""Real tools: what a harvested repository holds."""

from typing import Literal

from schemas.base import Artifact, Config
from schemas.chat import ToolSpec


class RealTool(Config):
    """A tool of a real MCP server, with where it comes from."""

    spec: ToolSpec
    """As the server states it."""
    domain: str
    """What it is about; one of `k2core.tools.domains.DOMAINS`."""
    server: str
    """The server, by its name in the catalogue."""
    source: str
    """Package with version."""
    license: str
    """Of the package, by its own words."""
    orders: tuple[str, ...] = ()
    """Kinds of orders that its description gives the model: `k2core.tools.orders`."""


class ToolRepository(Artifact):
    """`tools.jsonl` (`RealTool` a line) and `servers.json` (counts, faults and digest a server)."""

    kind: Literal["tool_repository"] = "tool_repository"
