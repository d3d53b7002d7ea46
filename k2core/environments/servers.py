"""Real MCP servers as environments: each dialogue has a server in the state that it was stated in.

A server starts in a fresh copy of its folder, in a jail without network. A few run side by side; a
dialogue whose server went to another one gets a new one, which is taken through its calls so far.
So does one whose server ended or fell silent: that is the result of the call that it met, which
does not count among these.
"""

import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self

from pydantic import JsonValue, ValidationError

from k2core.environments.simulator import result_text
from k2core.problems.declared import plain_name
from k2core.tools.servers import CallResult, McpServer, StatedTool, find_venv, open_server
from schemas.chat import Problem, ToolSpec
from schemas.problems import ServerSpec

MCP = "mcp"
"""`Problem.environment` of these."""
_MOST_FILES = 100
_MOST_BYTES = 100_000


class ServerChangedError(ValueError):
    """A server's program or folder is another here than the config was stated for."""


class _Call(NamedTuple):
    name: str
    arguments: dict[str, Any]


class _Running(NamedTuple):
    """A server in the middle of a dialogue."""

    server: McpServer
    folder: Path
    stack: ExitStack
    num_calls: int
    names: Mapping[str, str] = MappingProxyType({})
    """A tool's name as it is declared -> the server's own."""

    def call(self, call: _Call) -> CallResult:
        return self.server.call(self.names.get(call.name, call.name), call.arguments)


class Servers:
    """Those that run now; closed with all of them.

    Safe to use from several threads, a dialogue's calls one after another: the calls of different
    dialogues run side by side, as many as servers may.
    """

    def __init__(self) -> None:
        self._idle: OrderedDict[int, _Running] = OrderedDict()
        self._num_busy = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for running in self._idle.values():
            running.stack.close()
        self._idle.clear()

    def call(self, world: "ServerWorld", call: _Call) -> str:
        """Call a tool of a dialogue's own server, which first comes to where the dialogue is."""
        running, kept = self._take(world), None
        try:
            if running is None:
                running = start_fresh(world.spec)
                named = stated_tools(running.server)
                names = {name: tool.name for name, tool in named.items()}
                running = running._replace(names=names)
                for earlier in world.calls:
                    running.call(earlier)
            result = running.call(call)
            if not running.server.is_gone:
                world.calls.append(call)
                world.state = {"files": read_files(running.folder)}
                kept = running._replace(num_calls=len(world.calls))
            return result.text
        finally:
            if running is not None and kept is None:  # nobody knows where it is now
                running.stack.close()
            self._put_back(world, kept)

    def _take(self, world: "ServerWorld") -> _Running | None:
        """Room for a server, and the dialogue's own if it still runs."""
        with self._changed:
            self._changed.wait_for(lambda: self._num_busy < world.spec.side_by_side)
            self._num_busy += 1
            running = self._idle.pop(id(world), None)
            if running is not None and running.num_calls != len(world.calls):
                running.stack.close()  # of a dialogue that is over
                running = None
            while self._idle and len(self._idle) + self._num_busy > world.spec.side_by_side:
                _, oldest = self._idle.popitem(last=False)
                oldest.stack.close()
            return running

    def _put_back(self, world: "ServerWorld", running: _Running | None) -> None:
        with self._changed:
            self._num_busy -= 1
            if running is not None:
                self._idle[id(world)] = running
            self._changed.notify_all()


class ServerWorld:
    """A problem's session with its server."""

    def __init__(self, problem: Problem, servers: Servers) -> None:
        self.spec = ServerSpec.model_validate(problem.state["server"])
        self.calls: list[_Call] = []
        folder = self.spec.folder
        self.state: Mapping[str, JsonValue] = {"files": read_files(Path(folder)) if folder else {}}
        """`files`: what lay in its folder after the last call, texts by path."""
        self._servers = servers
        self._names = {tool.name for tool in problem.tools}

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Pass a call of a declared tool on."""
        if name not in self._names:
            return result_text({"error": f"unknown tool {name}"})
        call = _Call(name, arguments)
        return self._servers.call(self, call)


def start_fresh(spec: ServerSpec) -> _Running:
    """A server in a fresh copy of its folder.

    Raises:
        ServerChangedError: its program or folder has changed.
        ServersMissingError: it does not start, or no jail works.
    """
    if spec.sign() != spec.signed:
        raise ServerChangedError(
            f"{spec.command[0]} or its files changed since the config was stated: state it again"
        )
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="k2-world-")))
        folder = place / "data"
        if spec.folder:
            shutil.copytree(spec.folder, folder)
        else:
            folder.mkdir()
        installed = find_venv() / "bin" / spec.command[0]
        program = str(installed) if installed.exists() else spec.command[0]
        shown = [Path(path).parent for path in spec.files]
        command = [program, *spec.command[1:]]
        server = stack.enter_context(open_server("server", command, folder, shown=shown))
        return _Running(server, folder, stack.pop_all(), 0)


def list_tools(spec: ServerSpec) -> tuple[ToolSpec, ...]:
    """The server's tools, those that the config names or all.

    Raises:
        ServersMissingError: it does not start or does not list them, or no jail works.
        ValueError: it has no such tool, or none that can be called.
    """
    running = start_fresh(spec)
    try:
        stated = dict[str, ToolSpec]()
        for name, tool in stated_tools(running.server).items():
            with suppress(ValidationError):
                stated[name] = ToolSpec.model_validate(tool._replace(name=name)._asdict())
    finally:
        running.stack.close()
    if not stated:
        raise ValueError(f"{' '.join(spec.command)} has no tool that can be called")
    wanted = [plain_name(name) for name in spec.tools]
    if missing := sorted(set(wanted) - stated.keys()):
        raise ValueError(f"{spec.command[0]} has no {missing[0]!r}; it has {', '.join(stated)}")
    return tuple(stated[name] for name in wanted or stated)


def stated_tools(server: McpServer) -> dict[str, StatedTool]:
    """A server's tools by names that a call can have: `geo.find` is `geo_find`.

    Raises:
        ServersMissingError: it does not list them.
    """
    found: dict[str, StatedTool] = {}
    for tool in server.list_stated():
        found.setdefault(plain_name(tool.name), tool)
    return found


def read_files(folder: Path) -> dict[str, JsonValue]:
    """The folder's texts by path; of too many or too large ones, the first."""
    found: dict[str, JsonValue] = {}
    for path in sorted(folder.rglob("*")):
        if len(found) < _MOST_FILES and path.is_file() and not path.is_symlink():
            with path.open("rb") as stream:
                content = stream.read(_MOST_BYTES)
            found[str(path.relative_to(folder))] = content.decode(errors="replace")
    return found
