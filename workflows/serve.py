"""`k2 serve`: an OpenAI-compatible server on a model, started, watched and ended cleanly."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import typer

from infra.home import ROOT
from k2core.chat import ChatCodec
from workflows.errors import MendableError

_PATIENCE_S = 20.0
"""For requests under way, once it was told to stop."""


class Served(NamedTuple):
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


def find_served(target: str) -> Served:
    """A folder of the Hugging Face layout or of a release, else what is recorded by that name."""
    folder = Path(target).expanduser()
    label = str(folder)
    if not folder.is_dir():
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
        return Served(found.absolute(), label, is_k2=False)
    return Served(found.absolute(), label, is_k2=True)


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
    served: Served, host: str, port: int, max_num_seqs: int = 16, *, free: bool = False
) -> "subprocess.Popen[bytes]":
    """A process in a session of its own, so that Ctrl-C reaches it once, and through us."""
    kind = [] if served.is_k2 and not free else ["--free" if served.is_k2 else "--plain"]
    asked = ["--host", host, "--port", str(port), "--max-num-seqs", str(max_num_seqs), *kind]
    asked += ["--parent", str(os.getpid())]
    command = [sys.executable, "-m", "k2core.engines.vllm.server", str(served.folder), *asked]
    return subprocess.Popen(
        [*command, "--name", "k2", served.folder.name],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def wait_until_healthy(server: "subprocess.Popen[bytes]", host: str, port: int) -> None:
    """Until `/health` answers.

    Raises:
        MendableError: the process ended before.
    """
    while server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address(host, port)}/health", timeout=5):
                return
        except OSError:  # not listening yet, or not ready
            time.sleep(0.5)
    raise MendableError(f"vLLM did not start (code {server.returncode}): its messages are above")


def stop_server(server: "subprocess.Popen[bytes]") -> None:
    """Let it finish; what is left of its session after that is killed."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        if server.poll() is None:
            server.send_signal(sign)
            try:
                server.wait(_PATIENCE_S)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                continue
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    server.wait()


def address(host: str, port: int) -> str:
    """Where a client on this machine finds it."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "") else "[::1]" if host == "::" else host
    return f"http://{f'[{shown}]' if ':' in shown and '[' not in shown else shown}:{port}"


def _greeting(served: Served, host: str, port: int, *, free: bool) -> str:
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
