"""Starts a server of the catalogue from where the harvest installed it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from k2core.tools.catalogue import ServerEntry, read_catalogue
from k2core.tools.install import find_home
from k2core.tools.servers import McpServer, ServersMissingError, open_server


def tools_root() -> Path:
    """Harvested servers: `tools` in `K2_HOME`, which by default is `.k2` beside the environment."""
    return Path(os.environ.get("K2_HOME", Path(sys.prefix).parent / ".k2")).absolute() / "tools"


def find_entry(name: str) -> ServerEntry:
    """The catalogue's entry.

    Raises:
        LookupError: the catalogue has none of that name.
    """
    for entry in read_catalogue():
        if entry.name == name:
            return entry
    raise LookupError(f"servers.yaml has no server {name!r}")


@contextmanager
def start_installed(name: str, folder: Path) -> Iterator[McpServer]:
    """Run a harvested server with `folder` as its `/data`.

    Raises:
        ServersMissingError: it was not harvested, does not start, or has no jail to see `/data` in.
    """
    entry = find_entry(name)
    installed = tools_root() / f"{entry.name}-{entry.key}"
    if not installed.is_dir():
        raise ServersMissingError(
            f"{entry.source} is not in {tools_root()}: run `k2 tools harvest --server {name}`"
            + (" (needs node and npm)" if entry.ecosystem == "npm" else "")
        )
    with open_entry(entry, find_home(entry, installed), folder) as server:
        yield server


@contextmanager
def open_entry(entry: ServerEntry, home: Path, folder: Path) -> Iterator[McpServer]:
    """Run the entry's command with its dummy credentials.

    Raises:
        ServersMissingError: it does not start.
    """
    home = home.resolve()
    shown = home.parents[entry.package.count("/")] if entry.ecosystem == "npm" else home
    command = [part.replace("{home}", str(home)) for part in entry.command]
    environment = {"HOME": "/data", **entry.environment}
    with open_server(entry.name, command, folder, environment, [shown]) as server:
        yield server
