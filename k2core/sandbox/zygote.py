"""The driver's end of a zygote: start it, send jobs, receive how they ended."""

import contextlib
import itertools
import json
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Literal, NamedTuple

from k2core.sandbox.bundle import open_bundle
from k2core.sandbox.tiers import Tier, command_of
from k2core.sandbox.verdict import SandboxError

_ENVIRONMENT = {
    **{"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    **{"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
}
_JOB_USER = 60_001
_START_S = 20.0
_IMPORT_S = 120.0
_END_S = 5.0
Program = Literal["script", "verdict", "shell", "binary"]


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
        """Whether its CPU time ran out, with that of its threads and children."""
        return self.exit_code == -signal.SIGXCPU or self.cpu_s >= limits.cpu_s

    @property
    def was_killed(self) -> bool:
        """Whether it was killed from outside: over a limit, or by the kernel for want of memory."""
        return self.exit_code == -signal.SIGKILL


Ends = dict[str, JobEnd]
"""How each of a job's processes ended: `solver` and `tester` of a verdict, else the program."""


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
        # the first step of a job, each then its own, where namespaces do not part them.
        user = _JOB_USER if os.getuid() == 0 and tier == "A" and not setup else None
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
                env=_ENVIRONMENT,
            )
        except (OSError, subprocess.SubprocessError) as error:
            ours.close()
            raise SandboxError(f"tier {tier}: the zygote cannot start: {error}") from error
        finally:
            theirs.close()
            os.close(bundle)
        self._socket = ours
        self._ids = itertools.count()
        self._waiting: dict[int, Future[Ends]] = {}
        self._lock = threading.Lock()
        self._inner = self._await_ready(tier, _IMPORT_S if setup else _START_S)
        self._receiver = threading.Thread(target=self._receive, name="sandbox", daemon=True)
        self._receiver.start()

    @property
    def alive(self) -> bool:
        """Whether it still accepts jobs."""
        return self._receiver.is_alive() and self._process.poll() is None

    def start(self, program: Program, descriptors: Sequence[int], limits: Limits) -> Future[Ends]:
        """Start a job; the caller keeps its own copies of the descriptors.

        Args:
            program: what to run.
            descriptors: payload, standard input, output and error; of a verdict the solution, the
                tests' request and where the verdict goes.
            limits: of each process.

        Returns:
            How the processes end; fails with `SandboxError` if the jail or the zygote does.
        """
        number = next(self._ids)
        request = {"id": number, "program": program, **limits._asdict()}
        ended: Future[Ends] = Future()
        try:
            with self._lock:
                self._waiting[number] = ended
                socket.send_fds(self._socket, [json.dumps(request).encode()], [*descriptors])
        except OSError as error:
            self._waiting.pop(number, None)
            raise SandboxError(f"the sandbox's zygote is gone: {error}") from error
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
        """End it with all its jobs; who waits for one gets a `SandboxError`.

        The socket is shut down, since closing it leaves it open to the thread that listens.
        """
        with contextlib.suppress(OSError):  # ended before
            self._socket.shutdown(socket.SHUT_RDWR)
        self._receiver.join()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._inner, signal.SIGKILL)  # and with it whatever guards it
            self._process.kill()
            self._process.wait()
        self._socket.close()
        if self._process.stderr:
            self._process.stderr.close()

    def _await_ready(self, tier: Tier, seconds: float) -> int:
        """Wait for its greeting, which tells its process as this one sees it."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        readable, _, _ = select.select([self._socket], [], [], seconds)
        if readable:
            greeting, credentials, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(12))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
            if greeting:
                return struct.unpack("=iII", credentials[0][2])[0]  # type: ignore[no-any-return]
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
                ended = self._waiting.pop(reply["id"], None)
            if ended is not None:
                _settle(ended, reply["ends"])
        with self._lock:
            for ended in self._waiting.values():
                ended.set_exception(SandboxError("the sandbox's zygote ended during a job"))
            self._waiting.clear()


def _settle(ended: Future[Ends], said: dict[str, dict[str, str]]) -> None:
    failed = [end["failed"] for end in said.values() if "failed" in end]
    if failed:
        ended.set_exception(SandboxError(f"the jail failed: {failed[0]}"))
    else:
        ended.set_result(
            {
                name: JobEnd(int(end["exit_code"]), float(end["cpu_s"]), bool(end["timed_out"]))
                for name, end in said.items()
            }
        )


@contextmanager
def file_with(content: bytes) -> Iterator[int]:
    """A file in memory, at its beginning, that a descriptor passes on."""
    descriptor = os.memfd_create("content")
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def read_all(descriptors: Sequence[int], cap: int, deadline: float) -> list[bytes]:
    """Read each to its end, to `cap` bytes or to the deadline; closing breaks the writer's pipe."""
    heard = {descriptor: bytearray() for descriptor in descriptors}
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    left = set(descriptors)
    try:
        while left and (seconds := deadline - time.monotonic()) > 0:
            for descriptor, _ in waiting.poll(1000 * seconds):
                data = os.read(descriptor, 65536)
                heard[descriptor] += data
                if not data or len(heard[descriptor]) >= cap:
                    waiting.unregister(descriptor)
                    os.close(descriptor)
                    left.discard(descriptor)
    finally:
        for descriptor in left:
            os.close(descriptor)
    return [bytes(heard[descriptor][:cap]) for descriptor in descriptors]
