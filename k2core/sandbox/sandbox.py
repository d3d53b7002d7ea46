"""Run model-written code where it can harm nothing, and judge it where it cannot cheat."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from k2core.sandbox.protocol import Asked, CodeRunner
from k2core.sandbox.tiers import NOTHING_WORKS, Tier
from k2core.sandbox.verdict import SandboxError, SandboxUnavailableError
from k2core.sandbox.zygote import Zygote

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_ATTEMPTS = 3
_PROBE = """
import os
def attempt(action):
    try: action()
    except OSError: return
    print(action.__name__)
def read_passwords(): open("/etc/passwd").close()
def write_outside(): open("/usr/probe", "w").close()
def fork():
    if os.fork() == 0: os._exit(0)
def open_socket():
    import socket
    socket.socket()
for action in (read_passwords, write_outside, fork, open_socket): attempt(action)
print("ran")
"""


class Sandbox(CodeRunner):
    """A pool of jailed jobs, safe to use from several threads; `start` finds a tier that works."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self._zygotes = {"": Zygote(tier)}
        self._lock = threading.Lock()
        self._closed = False
        # A verdict is two jobs; more at a time than this only adds waiting to the wall limits.
        self._slots = threading.Semaphore(2 * (os.cpu_count() or 1))

    @classmethod
    def start(cls, tiers: Sequence[Tier] = ("A", "B"), *, unsafe: bool = False) -> Self:
        """Start the strongest tier in which a probe really runs and is really confined.

        Raises:
            SandboxUnavailableError: none works, and `unsafe` does not allow to go without.
        """
        failures = []
        safe: list[Tier] = [tier for tier in tiers if tier != "none"]
        for tier in (*safe, "none") if unsafe else safe:
            try:
                sandbox = cls(tier)
            except SandboxError as error:
                failures.append(f"- {error}")
                continue
            escaped = sandbox._probe()
            if escaped == ["ran"] or tier == "none":
                level = logging.WARNING if tier == "none" else logging.INFO
                _LOG.log(level, "sandbox: tier %s", tier)
                return sandbox
            sandbox.close()
            failures.append(f"- tier {tier}: a probe did {', '.join(escaped) or 'not run'}")
        raise SandboxUnavailableError(NOTHING_WORKS.format(failures="\n".join(failures)))

    def ask(self, job: Asked[_T]) -> _T:
        """Do a job here."""
        return job.do(self)

    def attempt(self, work: Callable[[Zygote], _T], setup: str = "") -> _T:
        """Try again where the sandbox itself fails; a program's own failure is a result."""
        for number in range(1, _ATTEMPTS + 1):
            try:
                zygote = self._zygote(setup)
                with self._slots:
                    return work(zygote)
            except SandboxError:
                if number == _ATTEMPTS or self._closed:
                    raise
                _LOG.warning("sandbox: attempt %d failed, trying again", number)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End all jobs; who waits for one is told that the sandbox has ended."""
        with self._lock:
            self._closed = True
            for zygote in self._zygotes.values():
                zygote.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _probe(self) -> list[str]:
        try:
            return self.run(_PROBE).stdout.split()
        except SandboxError as error:
            return [str(error)]

    def _zygote(self, setup: str) -> Zygote:
        """The living zygote of this setup; a dead one is replaced."""
        with self._lock:
            if self._closed:
                raise SandboxError("the sandbox is closed")
            zygote = self._zygotes.get(setup)
            if zygote is None or not zygote.alive:
                if zygote is not None:
                    _LOG.warning("sandbox: a zygote ended: %s", zygote.last_words())
                    zygote.close()
                zygote = self._zygotes[setup] = Zygote(self.tier, setup)
            return zygote
