"""Talk to a model or an endpoint, with tools that really run."""

import os
import random
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer
from pydantic import JsonValue

from k2core.environments import open_environment
from k2core.problems.tools import Names, environment_state, make_tool
from k2core.serving.process import address, stop_server
from schemas.chat import Problem
from schemas.endpoint import Endpoint
from workflows.conversation import ChatDialogue, NoAnswerError, Toolbox
from workflows.errors import MendableError
from workflows.serve import find_served, log_of, start_server, wait_until_healthy
from workflows.show import show_line
from workflows.terminal import show_part, talk_here

if TYPE_CHECKING:
    from k2core.tools.servers import McpServer

_TOOLS = [
    make_tool(random.Random(0), Names((name,), (("a", "b"),)), does, name, "integer")
    for name, does in (("add", "Add two numbers."), ("multiply", "Multiply two numbers."))
]
CALCULATOR = Problem(
    problem_id="chat",
    family="chat",
    group="general",
    messages=(),
    tools=tuple(tool.spec for tool in _TOOLS),
    environment="calculator",
    state=environment_state(_TOOLS, {}),
    verifier="none",
    max_turns=1_000_000,
    max_tokens=256,
)
"""Nothing to solve, but tools that work; `max_tokens` is an assistant message's."""


def talk(
    where: str | Endpoint,
    texts: Sequence[str] | None,
    temperature: float,
    mcp: str = "",
    key: str = "",
) -> None:
    """Answer one text after another, or whoever is at the terminal.

    Args:
        where: a model as `k2 serve` takes it, which is then served, or an endpoint.
        texts: what is said; None reads the terminal.
        temperature: of sampling.
        mcp: an MCP server whose tools may be called, in place of the calculator's.
        key: environment variable that holds the endpoint's key.

    Raises:
        MendableError: no such model or server, or no answer to one of the texts.
    """
    with ExitStack() as stack:
        toolbox = stack.enter_context(open_toolbox(mcp))
        endpoint = stack.enter_context(open_endpoint(where, temperature))
        secret = os.environ.get(key, "")
        most = CALCULATOR.max_tokens
        conversation = ChatDialogue(endpoint, secret, toolbox, show_part, show_line, most)
        if texts is None:
            talk_here(conversation)
            return
        for text in texts:
            try:
                conversation.ask(text)
            except NoAnswerError as error:
                raise MendableError(f"no answer: {error}") from None


@contextmanager
def open_toolbox(mcp: str) -> Iterator[Toolbox]:
    """The calculator, or a live server in its jail, with an empty folder as its own."""
    if not mcp:
        yield Toolbox(CALCULATOR.tools, open_environment(CALCULATOR))
        return
    from k2core.tools.servers import McpServer, ServersMissingError

    with ExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory(prefix="k2-chat-"))) / "data"
        place.mkdir()
        try:
            server: McpServer = stack.enter_context(_start(mcp, place))
        except (ServersMissingError, LookupError) as error:
            raise MendableError(f"--mcp {mcp}: {error}") from None
        yield Toolbox(server.list_tools(), LiveTools(server))


def _start(mcp: str, folder: Path) -> "AbstractContextManager[McpServer]":
    """A server of the environment that setup makes, else a harvested one of the catalogue."""
    from k2core.tools.installed import start_installed
    from k2core.tools.servers import find_venv, start_server

    if not (find_venv() / "bin" / f"mcp-server-{mcp}").exists():
        return start_installed(mcp, folder)
    arguments = {"sqlite": ("--db-path", "chat.db"), "git": ("--repository", ".")}
    if mcp == "git":
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return start_server(mcp, arguments.get(mcp, ()), folder)


class LiveTools:
    """A running server as an environment."""

    def __init__(self, server: "McpServer") -> None:
        self._server = server

    @property
    def state(self) -> Mapping[str, JsonValue]:
        """Nothing that could be verified."""
        return {}

    def call(self, name: str, arguments: dict[str, JsonValue]) -> str:
        """Pass the call on; the server's own error is a result."""
        return self._server.call(name, arguments).text


@contextmanager
def open_endpoint(where: str | Endpoint, temperature: float) -> Iterator[Endpoint]:
    """An endpoint as it is, or a model served while it is talked to."""
    if isinstance(where, Endpoint):
        yield where
        return
    served = find_served(where)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    typer.secho(f"starting vLLM on {served.label} ...", dim=True, err=True)
    server = start_server(served, "127.0.0.1", port, max_num_seqs=1, log=log_of(port))
    try:
        wait_until_healthy(server, "127.0.0.1", port, log_of(port))
        url = f"{address('127.0.0.1', port)}/v1"
        yield Endpoint(url=url, model="k2", temperature=temperature, timeout_s=600)
    finally:
        stop_server(server)
