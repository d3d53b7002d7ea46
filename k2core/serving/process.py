"""vLLM's OpenAI server on a folder as a process of its own: started, waited for, ended cleanly."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PATIENCE_S = 20.0
"""For requests under way, once it was told to stop."""
_TAIL = 20
"""Lines of a log that tell why it did not start."""
NAME = "k2"
"""The model's name there."""


class ServerError(RuntimeError):
    """The server did not start."""


def start_server(
    folder: Path,
    host: str,
    port: int,
    max_num_seqs: int,
    flags: Sequence[str] = (),
    log: Path | None = None,
) -> "subprocess.Popen[bytes]":
    """A process in a session of its own, so that Ctrl-C reaches it once, and through us.

    Args:
        folder: weights, config.json and tokenizer files.
        host: address to listen on.
        port: port to listen on.
        max_num_seqs: requests in one batch.
        flags: of `k2core.engines.vllm.server`, as `--free`.
        log: where all that it says goes; by default to the terminal.
    """
    asked = ["--host", host, "--port", str(port), "--max-num-seqs", str(max_num_seqs), *flags]
    asked += ["--parent", str(os.getpid())]
    command = [sys.executable, "-m", "k2core.engines.vllm.server", str(folder), *asked]
    with ExitStack() as stack:
        said = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            said = stack.enter_context(log.open("wb"))
        return subprocess.Popen(
            [*command, "--name", NAME, folder.name],
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def wait_until_healthy(
    server: "subprocess.Popen[bytes]", host: str, port: int, log: Path | None = None
) -> None:
    """Until `/health` answers.

    Raises:
        ServerError: the process ended before; with the last lines of its log.
    """
    while server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address(host, port)}/health", timeout=5):
                return
        except OSError:  # not listening yet, or not ready
            time.sleep(0.2)
    said = "its messages are above"
    if log is not None:
        lines = log.read_text(errors="replace").splitlines()[-_TAIL:]
        said = "\n".join([f"the end of {log}:", *lines])
    raise ServerError(f"vLLM did not start (code {server.returncode}): {said}")


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


@contextmanager
def serving(folder: Path, log: Path, max_num_seqs: int = 16) -> Iterator[str]:
    """The base address of a server on a free port of this machine; what it says goes to the log.

    Raises:
        ServerError: it did not start.
    """
    host, port = "127.0.0.1", free_port()
    server = start_server(folder, host, port, max_num_seqs, log=log)
    try:
        wait_until_healthy(server, host, port, log)
        yield f"{address(host, port)}/v1"
    finally:
        stop_server(server)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def address(host: str, port: int) -> str:
    """Where a client on this machine finds it."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "") else "[::1]" if host == "::" else host
    return f"http://{f'[{shown}]' if ':' in shown and '[' not in shown else shown}:{port}"
