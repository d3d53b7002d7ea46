"""Single jobs of a zygote: a program with its output, and a solution under its hidden tests."""

import json
import os
import time
from concurrent.futures import Future
from typing import NamedTuple

from k2core.sandbox.inside.tester import PASSED
from k2core.sandbox.verdict import SandboxError, Verdict
from k2core.sandbox.zygote import Ends, JobEnd, Limits, Program, Zygote, file_with, read_all

_SLACK_S = 5.0
_MAX_REASON = 4096


class Ran(NamedTuple):
    """A finished program, with its output as bytes."""

    end: JobEnd
    stdout: bytes
    stderr: bytes


def run_program(
    zygote: Zygote, program: Program, payload: bytes, stdin: bytes, limits: Limits
) -> Ran:
    """Run to the end; output over the cap breaks the program's pipe."""
    deadline = time.monotonic() + limits.wall_s + _SLACK_S
    with file_with(payload) as source, file_with(stdin) as given:
        out_r, out_w = os.pipe()
        err_r, err_w = os.pipe()
        try:
            ended = zygote.start(program, (source, given, out_w, err_w), limits)
        except SandboxError:
            os.close(out_r)
            os.close(err_r)
            raise
        finally:
            os.close(out_w)
            os.close(err_w)
    heard = read_all((out_r, err_r), limits.output_kb << 10, deadline)
    return Ran(_ends_of(ended, deadline)[program], *heard)


def check_solution(
    zygote: Zygote, solution: bytes, tests: list[str], entry_points: tuple[str, ...], limits: Limits
) -> Verdict:
    """The share of tests that held, and why the first one did not.

    Raises:
        SandboxError: a process ended for no reason of the solution's or the tests' own.
    """
    request = json.dumps({"tests": tests, "entry_points": entry_points}).encode()
    deadline = time.monotonic() + limits.wall_s + _SLACK_S
    with file_with(solution) as source, file_with(request) as asked:
        verdict_r, verdict_w = os.pipe()
        try:
            ended = zygote.start("verdict", (source, asked, verdict_w), limits)
        except SandboxError:
            os.close(verdict_r)
            raise
        finally:
            os.close(verdict_w)
    (text,) = read_all((verdict_r,), len(tests) + _MAX_REASON, deadline)
    ends = _ends_of(ended, deadline)
    for end in ends.values():
        if end.was_killed and not end.timed_out and not end.is_over_cpu(limits):
            raise SandboxError("a judging process was killed from outside")
    held, _, reason = text.partition(b"\n")
    share = held.count(PASSED) / len(tests)
    if not reason:
        said = _unheard(ends["tester"], ends["solver"], limits, len(held) + 1)
        return Verdict(min(share, 1 - 1 / len(tests)), said)
    return Verdict(share, _reason(reason, ends["solver"], limits))


def describe(end: JobEnd, limits: Limits) -> str:
    """How a program ended that should have ended well."""
    if end.timed_out:
        return f"over {limits.wall_s:g} s of wall time"
    if end.is_over_cpu(limits):
        return f"over {limits.cpu_s} s of CPU time"
    if end.exit_code < 0:
        return f"killed by signal {-end.exit_code}"
    return f"exit code {end.exit_code}"


def printable(text: str, most: int = 300) -> str:
    """At most so many bytes of a text, without what UTF-8 cannot write."""
    return text.encode("utf-8", "backslashreplace")[:most].decode("utf-8", "ignore")


def _reason(text: bytes, solved: JobEnd, limits: Limits) -> str:
    reason = str(json.loads(text))
    if reason.startswith("solution gone") and solved.exit_code:
        # Say why it is gone, where the tester saw only that it is.
        reason = f"{describe(solved, limits)}: {reason}"
    return printable(reason)


def _unheard(tested: JobEnd, solved: JobEnd, limits: Limits, number: int) -> str:
    """Why the tester stopped before the last test's end, in that test: the answers, or the test."""
    if tested.is_over_cpu(limits) and not tested.timed_out:
        return f"test {number} {describe(tested, limits)} on the solution's answers"
    if tested.timed_out or solved.timed_out:
        return describe(solved if solved.exit_code else tested, limits)
    return f"test {number} ended its own process: {describe(tested, limits)}"


def _ends_of(ended: Future[Ends], deadline: float) -> Ends:
    try:
        return ended.result(max(1.0, deadline - time.monotonic()))
    except TimeoutError as error:
        raise SandboxError("a job did not end at its wall limit") from error
