"""What a verifier needs of a sandbox, wherever it runs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, TypeVar

from k2core.sandbox.jobs import CallsJob, IoJob, PreparedJob, RunJob, RunResult, Zygotes
from k2core.sandbox.verdict import IoCase, Verdict
from k2core.sandbox.zygote import DEFAULT_LIMITS, Limits

_Out = TypeVar("_Out", covariant=True)
_T = TypeVar("_T")


class Asked(Protocol[_Out]):
    """A job of `jobs.py`."""

    def do(self, on: Zygotes) -> _Out:
        """Do it there."""


class CodeRunner(ABC):
    """A sandbox of this process, or a pool of them on a cluster. Safe to use from threads.

    Where the sandbox fails, again and again, `run` and `run_prepared` raise `SandboxError`, and
    the judging methods return `Verdict.faulty`.
    """

    @abstractmethod
    def ask(self, job: Asked[_T]) -> _T:
        """Do a job in one of the sandboxes."""

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
        return self.ask(RunJob(source, stdin, limits, language))

    def run_prepared(
        self, setup: str, source: str, stdin: str, limits: Limits = DEFAULT_LIMITS
    ) -> RunResult:
        """Run a trusted script on untrusted input, in a zygote that ran `setup` once.

        The zygote is this interpreter with all its packages; `setup` is the module `prepared`.
        Landlock and seccomp confine the job (tier B), since the packages live where no jail can
        reach: what `setup` did not import, a job cannot.
        """
        return self.ask(PreparedJob(setup, source, stdin, limits))

    def judge_calls(
        self,
        solution: str,
        tests: Sequence[str],
        entry_points: tuple[str, ...],
        limits: Limits = DEFAULT_LIMITS,
    ) -> Verdict:
        """The share of `tests` (assert statements) that hold for the solution's `entry_points`.

        Two processes that share nothing but plain data: one runs the solution and never sees a
        test, the other runs the tests and never a line of the solution. docs/sandbox.md says what
        a solution may return.
        """
        return self.ask(CallsJob(solution, tuple(tests), entry_points, limits))

    def judge_io(
        self,
        solution: str,
        cases: Sequence[IoCase],
        limits: Limits = DEFAULT_LIMITS,
        language: str = "python",
    ) -> Verdict:
        """The share of cases whose output is right; the expected one stays outside the sandbox."""
        return self.ask(IoJob(solution, tuple(cases), limits, language))
