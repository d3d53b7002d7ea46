"""What a verifier needs of a sandbox, wherever it runs."""

from collections.abc import Sequence
from typing import Protocol

from k2core.sandbox.jobs import RunResult
from k2core.sandbox.verdict import IoCase, Verdict
from k2core.sandbox.zygote import DEFAULT_LIMITS, Limits


class CodeRunner(Protocol):
    """A sandbox of this process, or a pool of them on a cluster. Safe to use from threads.

    Where the sandbox fails, again and again, `run` and `run_prepared` raise `SandboxError`, and
    the judging methods return `Verdict.faulty`.
    """

    def run(
        self,
        source: str,
        stdin: str = "",
        limits: Limits = DEFAULT_LIMITS,
        language: str = "python",
    ) -> RunResult:
        """Run a program."""

    def run_prepared(
        self, setup: str, source: str, stdin: str, limits: Limits = DEFAULT_LIMITS
    ) -> RunResult:
        """Run a trusted script on untrusted input."""

    def judge_calls(
        self,
        solution: str,
        tests: Sequence[str],
        entry_points: tuple[str, ...],
        limits: Limits = DEFAULT_LIMITS,
    ) -> Verdict:
        """The share of `tests` that hold for the solution's `entry_points`."""

    def judge_io(
        self,
        solution: str,
        cases: Sequence[IoCase],
        limits: Limits = DEFAULT_LIMITS,
        language: str = "python",
    ) -> Verdict:
        """The share of cases whose output is right."""
