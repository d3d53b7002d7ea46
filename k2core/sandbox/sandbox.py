"""Run model-written code where it can harm nothing, and judge it where it cannot cheat."""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from k2core.sandbox.tiers import NOTHING_WORKS, Tier
from k2core.sandbox.verdict import IoCase, SandboxError, SandboxUnavailableError, Verdict
from k2core.sandbox.zygote import DEFAULT_LIMITS, JobEnd, Limits, Streams, Zygote, read_all

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_ATTEMPTS = 3
_SLACK_S = 5.0
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


class RunResult(NamedTuple):
    """A finished script."""

    end: JobEnd
    stdout: str
    stderr: str


class Sandbox:
    """A pool of jailed jobs, safe to use from several threads; `start` finds a tier that works."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self._zygote = Zygote(tier)
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

    def run(self, source: str, stdin: str = "", limits: Limits = DEFAULT_LIMITS) -> RunResult:
        """Run a script; its output is cut at the limit, and a script that goes on then dies."""
        return self._retry(lambda zygote: _run_script(zygote, source, stdin, limits))

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
        failures = self._retry(lambda z: _test_solution(z, solution, request, limits))
        if len(failures) != len(tests):  # the tester was stopped before its verdict
            return Verdict(0.0, failures[0])
        passed = failures.count("")
        return Verdict(passed / len(tests), next((f for f in failures if f), ""))

    def judge_io(
        self, solution: str, cases: Sequence[IoCase], limits: Limits = DEFAULT_LIMITS
    ) -> Verdict:
        """The share of cases whose output is right; the expected one stays outside the sandbox."""
        if not cases:
            raise ValueError("cases is empty: there is nothing to judge the solution by")
        failures = []
        for case in cases:
            result = self.run(solution, case.stdin, limits)
            if result.end.exit_code:
                failures.append(_describe(result.end, limits))
            elif result.stdout.split() != case.stdout.split():
                failures.append("wrong output")
        passed = len(cases) - len(failures)
        return Verdict(passed / len(cases), failures[0] if failures else "")

    def close(self) -> None:
        """End all jobs."""
        self._zygote.close()

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

    def _retry(self, work: Callable[[Zygote], _T]) -> _T:
        """Try again where the sandbox itself fails; a program's own failure is a result."""
        for attempt in range(_ATTEMPTS):
            with self._lock:
                if not self._zygote.alive:
                    self._zygote.close()
                    self._zygote = Zygote(self.tier)
                zygote = self._zygote
            try:
                with self._slots:
                    return work(zygote)
            except SandboxError:
                if attempt == _ATTEMPTS - 1:
                    raise
                _LOG.warning("sandbox: attempt %d failed, trying again", attempt + 1)
        raise AssertionError("unreachable")


def _run_script(zygote: Zygote, source: str, stdin: str, limits: Limits) -> RunResult:
    cap, deadline = limits.output_kb << 10, time.monotonic() + limits.wall_s + _SLACK_S
    with ExitStack() as stack, ThreadPoolExecutor(2) as readers:
        given = _file_with(stack, stdin.encode())
        out_r, out_w = os.pipe()
        err_r, err_w = os.pipe()
        try:
            streams = Streams(given, out_w, err_w)
            ended = zygote.start("script", source.encode(), streams, limits)
        except SandboxError:
            os.close(out_r)
            os.close(err_r)
            raise
        finally:
            os.close(out_w)
            os.close(err_w)
        out = readers.submit(read_all, out_r, cap, deadline)
        err = readers.submit(read_all, err_r, cap, deadline)
        heard = [part.result().decode(errors="replace") for part in (out, err)]
        return RunResult(_end_of(ended, deadline), heard[0], heard[1])


def _test_solution(zygote: Zygote, solution: str, request: str, limits: Limits) -> list[str]:
    """Failures by test, or one text that says how the solution ended before the verdict."""
    deadline = time.monotonic() + limits.wall_s + _SLACK_S
    queries_r, queries_w = os.pipe()
    answers_r, answers_w = os.pipe()
    verdict_r, verdict_w = os.pipe()
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        solver = zygote.start(
            "solver", solution.encode(), Streams(queries_r, answers_w, null), limits
        )
        tester = zygote.start(
            "tester", request.encode(), Streams(answers_r, queries_w, verdict_w), limits
        )
    except SandboxError:
        os.close(verdict_r)
        raise
    finally:
        for descriptor in (queries_r, queries_w, answers_r, answers_w, verdict_w, null):
            os.close(descriptor)
    text = read_all(verdict_r, limits.output_kb << 10, deadline)
    tested, solved = _end_of(tester, deadline), _end_of(solver, deadline)
    try:
        failures: list[str] = json.loads(text)
    except ValueError:
        if tested.timed_out or solved.timed_out:
            return [_describe(solved, limits)]
        raise SandboxError(f"the tester ended with {tested.exit_code} and no verdict") from None
    if solved.exit_code:  # say why the solution is gone, where the tester saw only that it is
        why = _describe(solved, limits)
        return [f"{why}: {f}" if f.startswith("solution gone") else f for f in failures]
    return failures


def _end_of(ended: Future[JobEnd], deadline: float) -> JobEnd:
    try:
        return ended.result(max(1.0, deadline - time.monotonic()))
    except TimeoutError as error:
        raise SandboxError("a job did not end at its wall limit") from error


def _describe(end: JobEnd, limits: Limits) -> str:
    if end.timed_out:
        return f"over {limits.wall_s:g} s of wall time"
    if end.cpu_s >= limits.cpu_s:
        return f"over {limits.cpu_s} s of CPU time"
    if end.exit_code < 0:
        return f"killed by signal {-end.exit_code}"
    return f"exit code {end.exit_code}"


def _file_with(stack: ExitStack, content: bytes) -> int:
    descriptor = os.memfd_create("stdin")
    stack.callback(os.close, descriptor)
    with os.fdopen(os.dup(descriptor), "wb") as stream:
        stream.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
