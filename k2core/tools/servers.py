"""Real MCP servers over stdio: started in a jail without network, kept open, really called."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

if TYPE_CHECKING:
    from mcp.types import ContentBlock

from k2core.tools import relay
from schemas.chat import ToolSpec

MCP_VENV_ENV = "K2_MCP_VENV"
"""Environment variable that names the servers' virtual environment."""
_TIMEOUT_S = 60.0
MOST_BYTES = 64 * 2**10
"""Of a tool's result; more than a context has room for."""
_MOST_LINE_BYTES = 2**20
"""Of a message on the wire; what is longer is dropped before anybody holds it."""
_MOST_SAID = 500
_MOST_PAGES = 100
_GONE = (-32000, -32001)
"""Codes of a closed connection, and of an answer that did not come in time."""


class ServersMissingError(RuntimeError):
    """The servers' virtual environment is not there, or a server does not start."""


class NoJailError(ServersMissingError):
    """No jail works here, so no server is started."""


class CallResult(NamedTuple):
    """What a server answered."""

    text: str
    is_error: bool


class StatedTool(NamedTuple):
    """A tool in a server's own words."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON Schema of the arguments, not yet checked."""


class McpServer:
    """An open session with one server; `call` and `tools` block until it answers."""

    def __init__(self, name: str, portal: Any, client: Any) -> None:
        self.name = name
        self.is_gone = False
        """Whether it ended or fell silent, so that it answers nothing more."""
        self._portal = portal
        self._client = client

    def list_stated(self) -> list[StatedTool]:
        """The tools as the server states them, page by page; names may be what K2 cannot call.

        Raises:
            ServersMissingError: it does not state them, or comes to no end.
        """
        try:
            return self._list_pages()
        except Exception as error:  # the client's way of saying it, of many kinds
            raise ServersMissingError(
                f"{self.name} does not list its tools: {innermost(error)[:_MOST_SAID]}"
            ) from error

    def _list_pages(self) -> list[StatedTool]:
        found: list[StatedTool] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = self._portal.call(partial(self._client.list_tools, cursor=cursor))
            found += [
                StatedTool(tool.name, (tool.description or "").strip(), tool.input_schema)
                for tool in page.tools
            ]
            cursor = page.next_cursor
            if not cursor:
                return found
        raise ValueError(f"there is no end to them after {_MOST_PAGES} pages")

    def list_tools(self) -> list[ToolSpec]:
        """The tools as specs, without those that no call can be made of."""
        specs = []
        for tool in self.list_stated():
            with suppress(ValidationError):
                specs.append(ToolSpec.model_validate(tool._asdict()))
        return specs

    def call(self, name: str, arguments: dict[str, Any]) -> CallResult:
        """Call a tool; whatever the server does is a result: its own error, nonsense, its end."""
        try:
            result = self._portal.call(self._client.call_tool, name, arguments)
            text = "\n".join(map(_say_part, result.content))
            if not result.content and result.structured_content is not None:
                text = json.dumps(result.structured_content, ensure_ascii=False)
        except Exception as error:  # the client's way of saying it, of many kinds
            said = str(error) or type(error).__name__
            self.is_gone |= getattr(error, "code", None) in _GONE
            return CallResult(said[:_MOST_SAID], is_error=True)
        if (size := len(text.encode(errors="surrogatepass"))) > MOST_BYTES:
            said = f"result too large: {size} bytes, at most {MOST_BYTES}; ask for less"
            return CallResult(json.dumps({"error": said}), is_error=True)
        return CallResult(text, bool(result.is_error))


def _say_part(part: "ContentBlock") -> str:
    """A part of a result as a text: what is none, a picture or a link, is named."""
    if part.type == "text":
        return part.text
    if part.type == "resource" and (text := getattr(part.resource, "text", None)) is not None:
        return str(text)
    about = getattr(part, "uri", None) or getattr(part, "mime_type", None)
    return f"[{part.type} {about}]" if about else f"[{part.type}]"


@contextmanager
def start_server(
    name: str, arguments: Sequence[str], folder: Path, *, unsafe: bool = False
) -> Iterator[McpServer]:
    """Run `mcp-server-NAME` of the virtual environment in `folder`, its working directory.

    Raises:
        ServersMissingError: it is not installed, does not start, or has no jail.
    """
    command = find_venv() / "bin" / f"mcp-server-{name}"
    if not command.exists():
        raise ServersMissingError(
            f"{command} is missing: run `make setup`, or set {MCP_VENV_ENV} to a virtual "
            "environment with the packages of infra/locks/mcp.txt"
        )
    with open_server(name, [str(command), *arguments], folder, unsafe=unsafe) as server:
        yield server


@contextmanager
def open_server(
    name: str,
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
    shown: Sequence[Path] = (),
    *,
    unsafe: bool = False,
) -> Iterator[McpServer]:
    """Run any command that speaks MCP over stdio, in a jail that shows `shown` besides.

    Its standard error goes to `NAME.log` beside the folder.

    Args:
        name: the server's, for its log.
        command: with its arguments.
        folder: working directory, the only one that it may write to.
        environment: variables of its own.
        shown: what else it may read.
        unsafe: run it without a jail where none works.

    Raises:
        NoJailError: no jail works here, and `unsafe` does not allow to go without.
        ServersMissingError: it does not start; the message ends with what it said.
    """
    from anyio.from_thread import start_blocking_portal
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    free = unsafe and not _bubblewrap_works()
    jailed = [*([] if free else jail(folder, shown)), *command]
    bounded = [sys.executable, "-I", "-S", relay.__file__, str(_MOST_LINE_BYTES), *jailed]
    parameters = StdioServerParameters(
        command=bounded[0],
        args=bounded[1:],
        env=_environment() | dict(environment),
        cwd=str(folder),
    )
    log = folder.parent / f"{name}.log"
    with start_blocking_portal() as portal, log.open("w") as errors:
        # `legacy`: the servers speak the protocol of mcp 1, and no newer one needs to be tried.
        client = Client(
            stdio_client(parameters, errlog=errors),
            mode="legacy",
            read_timeout_seconds=_TIMEOUT_S,
        )
        with ExitStack() as stack:
            try:
                stack.enter_context(portal.wrap_async_context_manager(client))
            except Exception as error:
                said = log.read_text(errors="replace").strip()[-500:]
                raise ServersMissingError(
                    f"{command[0]} does not start: {said or innermost(error)}"
                ) from error
            yield McpServer(name, portal, client)


def innermost(error: BaseException) -> str:
    """What an error says that task groups wrapped, and its name where that says nothing."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


def find_venv() -> Path:
    """`K2_MCP_VENV`, by default `.venv-mcp` beside the virtual environment in use."""
    named = os.environ.get(MCP_VENV_ENV)
    return Path(named).absolute() if named else Path(sys.prefix).parent / ".venv-mcp"


def jail(folder: Path, shown: Sequence[Path] = ()) -> list[str]:
    """A bubblewrap command: no network, nothing writable but the folder.

    Programs, the servers' virtual environment and what `shown` names can be read.

    Raises:
        NoJailError: bubblewrap is missing or not allowed here.
    """
    if not _bubblewrap_works():
        raise NoJailError(
            "MCP servers run in a jail only, and bubblewrap does not work here: install bwrap and "
            "allow user namespaces; or set synthesize.live_per_server=0"
        )
    venv = find_venv()
    seen = {Path(p) for p in ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/alternatives")}
    seen |= {venv, venv.resolve(), (venv / "bin" / "python").resolve().parent.parent}
    for path in shown:
        seen |= {path, path.resolve()}
    binds = [part for path in sorted(seen) for part in ("--ro-bind-try", str(path), str(path))]
    return [
        *("bwrap", "--unshare-all", "--die-with-parent", "--new-session"),
        # The servers' environment may lie below /tmp: that comes first.
        *("--tmpfs", "/", "--tmpfs", "/tmp", *binds, "--dev", "/dev", "--proc", "/proc"),
        *("--bind", str(folder), "/data", "--chdir", "/data", "--remount-ro", "/"),
    ]


@cache
def _bubblewrap_works() -> bool:
    if shutil.which("bwrap") is None:
        return False
    probe = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def _environment() -> dict[str, str]:
    # All else is left out: a server gets no secret of ours.
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
