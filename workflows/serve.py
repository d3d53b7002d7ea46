"""`k2 serve`: an OpenAI-compatible server on a model, started, watched and ended cleanly."""

import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from infra.home import home
from k2core.chat import ChatCodec
from k2core.serving import process
from k2core.serving.process import address, stop_server
from workflows.errors import MendableError

if TYPE_CHECKING:
    import subprocess


class ServedModel(NamedTuple):
    """What is served."""

    folder: Path
    """Weights, config.json and tokenizer files."""
    label: str
    is_k2: bool
    """Whether it speaks K2's chat format; others are served as vLLM serves them."""


def serve_model(target: str, host: str, port: int, max_num_seqs: int, *, free: bool) -> None:
    """Serve until Ctrl-C.

    Raises:
        MendableError: no such model, the port is taken, or vLLM did not start.
    """
    served = find_served(target)
    check_free(host, port)
    for sign in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(sign, signal.default_int_handler)
    typer.echo(f"starting vLLM on {served.label} ...", err=True)
    server = start_server(served, host, port, max_num_seqs, free=free)
    try:
        wait_until_healthy(server, host, port)
        typer.echo(_greeting(served, host, port, free=free))
        code = server.wait()
        raise MendableError(f"the server ended by itself, with code {code}: its messages are above")
    except KeyboardInterrupt:
        typer.echo("\nstopping ...", err=True)
    finally:
        stop_server(server)
    typer.echo("stopped", err=True)


def find_served(target: str) -> ServedModel:
    """A folder of the Hugging Face layout or of a release, else what is recorded by that name."""
    folder = Path(target).expanduser()
    label = str(folder)
    if not folder.is_dir():
        if target.startswith(("/", ".", "~")) or folder.exists():
            raise MendableError(f"{target} is no folder: name one, a run, or a digest")
        from tasks.store import published_folder
        from workflows.find import SERVABLE, find_artifact

        artifact = find_artifact(target, SERVABLE)
        folder, label = published_folder(artifact), f"{artifact.kind} {artifact.digest[7:19]}"
    inside = [folder, folder / "policy"]
    found = next((place for place in inside if (place / "config.json").is_file()), None)
    if found is None:
        raise MendableError(
            f"{folder} holds no model: a config.json is wanted there or in its folder policy"
        )
    try:
        ChatCodec(found)
    except (FileNotFoundError, ValueError):
        return ServedModel(found.absolute(), label, is_k2=False)
    return ServedModel(found.absolute(), label, is_k2=True)


def check_free(host: str, port: int) -> None:
    """Fail now and not after a minute of loading."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise MendableError(
                f"cannot listen on {host}, --port {port}: {error.strerror}; choose another"
            ) from None


def start_server(
    served: ServedModel,
    host: str,
    port: int,
    max_num_seqs: int = 16,
    *,
    free: bool = False,
    log: Path | None = None,
) -> "subprocess.Popen[bytes]":
    """Its process; without a log it says what it says to the terminal."""
    flags = [] if served.is_k2 and not free else ["--free" if served.is_k2 else "--plain"]
    return process.start_server(served.folder, host, port, max_num_seqs, flags, log)


def log_of(port: int) -> Path:
    """Where a server that is no command of its own says what it says."""
    return home() / "logs" / f"server-{port}.log"


def wait_until_healthy(
    server: "subprocess.Popen[bytes]", host: str, port: int, log: Path | None = None
) -> None:
    """Until `/health` answers.

    Raises:
        MendableError: the process ended before.
    """
    try:
        process.wait_until_healthy(server, host, port, log)
    except process.ServerError as error:
        raise MendableError(str(error)) from None


def _greeting(served: ServedModel, host: str, port: int, *, free: bool) -> str:
    url = address(host, port)
    kept = "enforcer off: calls may break their schema" if free else "enforcer on"
    said = f"calls are read by token ids, {kept}" if served.is_k2 else "plain: not K2's chat format"
    body = '{"model": "k2", "messages": [{"role": "user", "content": "What is 12 + 47?"}]}'
    return "\n".join(
        [
            f"{served.label} is served ({said}).",
            f"  base_url  {url}/v1   model  k2   health  {url}/health",
            f"  curl {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'",
            "Ctrl-C stops it.",
        ]
    )
