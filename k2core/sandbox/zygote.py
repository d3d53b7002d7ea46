"""The driver's end of a zygote: start it, send jobs, receive how they ended."""

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import Future
from typing import Literal, NamedTuple

from k2core.sandbox.bundle import open_bundle
from k2core.sandbox.tiers import Tier, command_of
from k2core.sandbox.verdict import SandboxError

_JOB_USER = 60_001
_START_S = 20.0
_IMPORT_S = 120.0
Program = Literal["script", "solver", "tester", "shell", "binary"]


class Limits(NamedTuple):
    """What a job may use. CPU time judges; wall time is a backstop for what sleeps."""

    cpu_s: int = 3
    wall_s: float = 15.0
    memory_mb: int = 512
    disk_mb: int = 16
    output_kb: int = 256


DEFAULT_LIMITS = Limits()


class JobEnd(NamedTuple):
    """How a job ended."""

    exit_code: int
    """As `Popen.returncode`: negative for a signal."""
    cpu_s: float
    timed_out: bool

    def is_over_cpu(self, limits: Limits) -> bool:
        """Whether its CPU time ran out; the kernel's own count may be a tick above ours."""
        return self.exit_code == -signal.SIGXCPU or self.cpu_s >= limits.cpu_s


class Streams(NamedTuple):
    """Descriptors that a job gets as standard input, output and error."""

    stdin: int
    stdout: int
    stderr: int


class Zygote:
    """One warm interpreter in its jail. It ends when its socket closes, so never outlives us.

    Args:
        tier: how its jobs are isolated.
        setup: source of the module `prepared`, run by this interpreter before the first job; jobs
            then run in tier B.
    """

    def __init__(self, tier: Tier, setup: str = "") -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        bundle = open_bundle()
        # Root would keep its power over files and processes: a plain user from the start, or from
        # the first step of a job where only root can read the modules.
        user = _JOB_USER if os.getuid() == 0 and not setup else None
        try:
            self._process = subprocess.Popen(
                command_of(tier, theirs.fileno(), bundle, setup),
                pass_fds=(theirs.fileno(), bundle),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                user=user,
                group=user,
                extra_groups=None if user is None else [],
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"},
            )
        except (OSError, subprocess.SubprocessError) as error:
            ours.close()
            raise SandboxError(f"tier {tier}: the zygote cannot start: {error}") from error
        finally:
            theirs.close()
            os.close(bundle)
        self._socket = ours
        self._ids = itertools.count()
        self._waiting: dict[int, Future[JobEnd]] = {}
        self._lock = threading.Lock()
        self._await_ready(tier, _IMPORT_S if setup else _START_S)
        threading.Thread(target=self._receive, name="sandbox", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it still accepts jobs."""
        return self._process.poll() is None

    def start(
        self, program: Program, payload: bytes, streams: Streams, limits: Limits
    ) -> Future[JobEnd]:
        """Start a job; the caller keeps its own copies of the streams.

        The future fails with `SandboxError` if the jail or the zygote does.
        """
        number = next(self._ids)
        request = {"id": number, "program": program, **limits._asdict()}
        ended: Future[JobEnd] = Future()
        source = os.memfd_create("payload")
        try:
            with os.fdopen(os.dup(source), "wb") as stream:
                stream.write(payload)
            os.lseek(source, 0, os.SEEK_SET)
            with self._lock:
                self._waiting[number] = ended
                socket.send_fds(self._socket, [json.dumps(request).encode()], [source, *streams])
        except OSError as error:
            self._waiting.pop(number, None)
            raise SandboxError(f"the sandbox's zygote is gone: {error}") from error
        finally:
            os.close(source)
        return ended

    def last_words(self) -> str:
        """Of one that ended: the last line that it wrote, or how it ended."""
        heard = b""
        stderr = self._process.stderr
        if stderr and not stderr.closed:  # which what is left of a killed one may still hold open
            os.set_blocking(stderr.fileno(), False)
            heard = stderr.read() or b""
        lines = heard.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.poll()}"

    def close(self) -> None:
        """End it with all its jobs."""
        self._socket.close()
        self._process.kill()
        self._process.wait()
        if self._process.stderr:
            self._process.stderr.close()

    def _await_ready(self, tier: Tier, seconds: float) -> None:
        readable, _, _ = select.select([self._socket], [], [], seconds)
        if readable and self._socket.recv(4096):
            return
        self._process.kill()
        _, heard = self._process.communicate()
        self._socket.close()
        last = (heard or b"").decode(errors="replace").strip().splitlines()[-1:]
        raise SandboxError(f"tier {tier}: the zygote did not start: {' '.join(last) or 'silent'}")

    def _receive(self) -> None:
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                break
            reply = json.loads(data)
            with self._lock:
                ended = self._waiting.pop(reply["id"])
            if "failed" in reply:
                ended.set_exception(SandboxError(f"the jail failed: {reply['failed']}"))
            else:
                end = JobEnd(reply["exit_code"], reply["cpu_s"], reply["timed_out"])
                ended.set_result(end)
        with self._lock:
            for ended in self._waiting.values():
                ended.set_exception(SandboxError("the sandbox's zygote ended during a job"))
            self._waiting.clear()


def read_all(descriptor: int, cap: int, deadline: float) -> bytes:
    """Read to the end, to `cap` bytes or to the deadline; closing then breaks the writer's pipe."""
    parts, size = [], 0
    try:
        while size < cap:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                break
            data = os.read(descriptor, 65536)
            if not data:
                break
            parts.append(data)
            size += len(data)
    finally:
        os.close(descriptor)
    return b"".join(parts)[:cap]
