"""Run model-written code where it can harm nothing, and judge it where it cannot cheat."""

import json
import logging
import os
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from k2core.sandbox.jobs import Ran, RunResult, check_solution, describe, run_program
from k2core.sandbox.languages import find_language
from k2core.sandbox.tiers import NOTHING_WORKS, Tier
from k2core.sandbox.verdict import IoCase, SandboxError, SandboxUnavailableError, Verdict
from k2core.sandbox.zygote import DEFAULT_LIMITS, Limits, Program, Zygote

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_ATTEMPTS = 3
_COMPILE = Limits(cpu_s=20, wall_s=60.0, memory_mb=1536, disk_mb=16, output_kb=4096)
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


class Sandbox:
    """A pool of jailed jobs, safe to use from several threads; `start` finds a tier that works."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self._zygotes = {"": Zygote(tier)}
        self._lock = threading.Lock()
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

    def run(
        self,
        source: str,
        stdin: str = "",
        limits: Limits = DEFAULT_LIMITS,
        language: str = "python",
    ) -> RunResult:
        """Run a program; its output is cut at the limit, and a program that goes on then dies.

        A program that does not compile ends as its compiler did.

        Raises:
            ValueError: the language is unknown.
            SandboxUnavailableError: this machine or this tier cannot run it.
        """
        built = self._build(source, language)
        return _heard(self._run_built(built, stdin, limits) if isinstance(built, _Built) else built)

    def run_prepared(
        self, setup: str, source: str, stdin: str, limits: Limits = DEFAULT_LIMITS
    ) -> RunResult:
        """Run a trusted script on untrusted input, in a zygote that ran `setup` once.

        The zygote is this interpreter with all its packages; `setup` is the module `prepared`.
        Landlock and seccomp confine the job (tier B), since the packages live where no jail can
        reach: what `setup` did not import, a job cannot.
        """
        payload, given = source.encode(), stdin.encode()
        return _heard(
            self._retry(lambda z: run_program(z, "script", payload, given, limits), setup)
        )

    def judge_calls(
        self,
        solution: str,
        tests: Sequence[str],
        entry_points: tuple[str, ...],
        limits: Limits = DEFAULT_LIMITS,
    ) -> Verdict:
        """The share of `tests` (assert statements) that hold for the solution's `entry_points`.

        Two jobs that share nothing but plain data: one runs the solution and never sees a test,
        the other runs the tests and never a line of the solution.
        """
        if not entry_points:
            raise ValueError("entry_points is empty: name the functions that the tests may call")
        if not tests:
            raise ValueError("tests is empty: there is nothing to judge the solution by")
        request = json.dumps({"tests": list(tests), "entry_points": entry_points})
        try:
            failures = self._retry(lambda z: check_solution(z, solution, request, limits))
        except SandboxError as error:
            return Verdict.faulty(error)
        if len(failures) != len(tests):  # the tester was stopped before its verdict
            return Verdict(0.0, failures[0])
        passed = failures.count("")
        return Verdict(passed / len(tests), next((f for f in failures if f), ""))

    def judge_io(
        self,
        solution: str,
        cases: Sequence[IoCase],
        limits: Limits = DEFAULT_LIMITS,
        language: str = "python",
    ) -> Verdict:
        """The share of cases whose output is right; the expected one stays outside the sandbox."""
        if not cases:
            raise ValueError("cases is empty: there is nothing to judge the solution by")
        built = self._build(solution, language)
        if isinstance(built, Ran):
            said = built.stderr.decode(errors="replace").strip()
            return Verdict(0.0, f"does not compile: {said or describe(built.end, _COMPILE)}"[:200])
        failures = []
        for case in cases:
            try:
                result = _heard(self._run_built(built, case.stdin, limits))
            except SandboxError as error:
                return Verdict.faulty(error)
            if result.end.exit_code:
                failures.append(describe(result.end, limits))
            elif result.stdout.split() != case.stdout.split():
                failures.append("wrong output")
        passed = len(cases) - len(failures)
        return Verdict(passed / len(cases), failures[0] if failures else "")

    def close(self) -> None:
        """End all jobs."""
        with self._lock:
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

    def _build(self, source: str, language: str) -> "_Built | Ran":
        """What the zygote can start, or how the compiler failed."""
        how = find_language(language, self.tier)
        if not how.compiler:
            return _Built(how.program, source.encode())
        script, given = how.compiler.encode(), source.encode()
        ran = self._retry(lambda z: run_program(z, "shell", script, given, _COMPILE))
        return ran if ran.end.exit_code else _Built(how.program, ran.stdout)

    def _run_built(self, built: "_Built", stdin: str, limits: Limits) -> Ran:
        given = stdin.encode()
        return self._retry(lambda z: run_program(z, built.program, built.payload, given, limits))

    def _retry(self, work: Callable[[Zygote], _T], setup: str = "") -> _T:
        """Try again where the sandbox itself fails; a program's own failure is a result."""
        for attempt in range(_ATTEMPTS):
            try:
                zygote = self._zygote(setup)
                with self._slots:
                    return work(zygote)
            except SandboxError:
                if attempt == _ATTEMPTS - 1:
                    raise
                _LOG.warning("sandbox: attempt %d failed, trying again", attempt + 1)
        raise AssertionError("unreachable")

    def _zygote(self, setup: str) -> Zygote:
        """The living zygote of this setup; a dead one is replaced."""
        with self._lock:
            zygote = self._zygotes.get(setup)
            if zygote is None or not zygote.alive:
                if zygote is not None:
                    _LOG.warning("sandbox: a zygote ended: %s", zygote.last_words())
                    zygote.close()
                zygote = self._zygotes[setup] = Zygote(self.tier, setup)
            return zygote


class _Built(NamedTuple):
    """A program ready to start: a script's text or an executable's bytes."""

    program: Program
    payload: bytes


def _heard(ran: Ran) -> RunResult:
    out, err = (part.decode(errors="replace") for part in (ran.stdout, ran.stderr))
    return RunResult(ran.end, out, err)
