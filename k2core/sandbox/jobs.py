"""What can be asked of a sandbox, as values that a cluster can carry."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from k2core.sandbox.languages import find_language
from k2core.sandbox.outputs import same_output
from k2core.sandbox.programs import Ran, check_solution, describe, printable, run_program
from k2core.sandbox.tiers import Tier
from k2core.sandbox.verdict import IoCase, SandboxError, SandboxUnavailableError, Verdict
from k2core.sandbox.zygote import JobEnd, Limits, Program, Zygote

_T = TypeVar("_T")
_COMPILE = Limits(cpu_s=20, wall_s=60.0, memory_mb=1536, disk_mb=16, output_kb=4096)


class RunResult(NamedTuple):
    """A finished script."""

    end: JobEnd
    stdout: str
    stderr: str


class Zygotes(Protocol):
    """Where jobs run."""

    tier: Tier

    def attempt(self, work: Callable[[Zygote], _T], setup: str = "") -> _T:
        """Do the work with a zygote of this setup, again if the sandbox itself fails."""


class RunJob(NamedTuple):
    """A program with its input; one that does not compile ends as its compiler did."""

    source: str
    stdin: str
    limits: Limits
    language: str

    def do(self, on: Zygotes) -> RunResult:
        """Run it."""
        built = _build(on, self.source, self.language)
        if isinstance(built, _Built):
            built = _run(on, built, self.stdin, self.limits)
        return _heard(built)


class PreparedJob(NamedTuple):
    """A trusted script with untrusted input, in a zygote that ran `setup` once."""

    setup: str
    source: str
    stdin: str
    limits: Limits

    def do(self, on: Zygotes) -> RunResult:
        """Run it."""
        payload, given = _bytes(self.source), _bytes(self.stdin)
        return _heard(
            on.attempt(lambda z: run_program(z, "script", payload, given, self.limits), self.setup)
        )


class CallsJob(NamedTuple):
    """A solution under hidden tests: two processes that share nothing but plain data."""

    solution: str
    tests: tuple[str, ...]
    entry_points: tuple[str, ...]
    limits: Limits

    def do(self, on: Zygotes) -> Verdict:
        """Judge it."""
        if not self.entry_points:
            raise ValueError("entry_points is empty: name the functions that the tests may call")
        if not self.tests:
            raise ValueError("tests is empty: there is nothing to judge the solution by")
        given = _bytes(self.solution), list(self.tests), self.entry_points, self.limits
        try:
            return on.attempt(lambda z: check_solution(z, *given))
        except SandboxError as error:
            return Verdict.faulty(error)


class IoJob(NamedTuple):
    """A program and the outputs that its inputs should give, which stay outside the sandbox."""

    solution: str
    cases: tuple[IoCase, ...]
    limits: Limits
    language: str

    def do(self, on: Zygotes) -> Verdict:
        """Judge it."""
        if not self.cases:
            raise ValueError("cases is empty: there is nothing to judge the solution by")
        try:
            return self._judge(on)
        except SandboxUnavailableError:  # a language that this machine cannot run: not a verdict
            raise
        except SandboxError as error:
            return Verdict.faulty(error)

    def _judge(self, on: Zygotes) -> Verdict:
        built = _build(on, self.solution, self.language)
        if isinstance(built, Ran):
            said = built.stderr.decode(errors="replace").strip()
            said = said or describe(built.end, _COMPILE)
            return Verdict(0.0, printable(f"does not compile: {said}", 200))
        failures = []
        for number, case in enumerate(self.cases):
            ran = _run(on, built, case.stdin, self.limits)
            if ran.end.timed_out or ran.end.is_over_cpu(self.limits):
                # What hung once would take the time of every other case as well.
                failures += [describe(ran.end, self.limits)] * (len(self.cases) - number)
                break
            if ran.end.exit_code:
                failures.append(describe(ran.end, self.limits))
            elif not same_output(ran.stdout.decode(errors="replace"), case.stdout):
                failures.append("wrong output")
        passed = len(self.cases) - len(failures)
        return Verdict(passed / len(self.cases), failures[0] if failures else "")


class _Built(NamedTuple):
    """A program ready to start: a script's text or an executable's bytes."""

    program: Program
    payload: bytes


def _build(on: Zygotes, source: str, language: str) -> _Built | Ran:
    """What the zygote can start, or how the compiler failed."""
    how = find_language(language, on.tier)
    if not how.compiler:
        return _Built(how.program, _bytes(source))
    script, given = _bytes(how.compiler), _bytes(source)
    ran = on.attempt(lambda z: run_program(z, "shell", script, given, _COMPILE))
    return ran if ran.end.exit_code else _Built(how.program, ran.stdout)


def _run(on: Zygotes, built: _Built, stdin: str, limits: Limits) -> Ran:
    given = _bytes(stdin)
    return on.attempt(lambda z: run_program(z, built.program, built.payload, given, limits))


def _bytes(text: str) -> bytes:
    """What a model wrote may hold halves of characters, which are its own to fail by."""
    return text.encode(errors="surrogatepass")


def _heard(ran: Ran) -> RunResult:
    out, err = (part.decode(errors="replace") for part in (ran.stdout, ran.stderr))
    return RunResult(ran.end, out, err)
