"""Single jobs of a zygote: a program with its output, and a solution under its hidden tests."""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from k2core.sandbox.verdict import SandboxError
from k2core.sandbox.zygote import JobEnd, Limits, Program, Streams, Zygote, read_all

_SLACK_S = 5.0


class RunResult(NamedTuple):
    """A finished script."""

    end: JobEnd
    stdout: str
    stderr: str


class Ran(NamedTuple):
    """A finished program, with its output as bytes."""

    end: JobEnd
    stdout: bytes
    stderr: bytes


def run_program(
    zygote: Zygote, program: Program, payload: bytes, stdin: bytes, limits: Limits
) -> Ran:
    """Run to the end; output over the cap breaks the program's pipe."""
    cap, deadline = limits.output_kb << 10, time.monotonic() + limits.wall_s + _SLACK_S
    with _file_with(stdin) as given, ThreadPoolExecutor(2) as readers:
        out_r, out_w = os.pipe()
        err_r, err_w = os.pipe()
        try:
            ended = zygote.start(program, payload, Streams(given, out_w, err_w), limits)
        except SandboxError:
            os.close(out_r)
            os.close(err_r)
            raise
        finally:
            os.close(out_w)
            os.close(err_w)
        out = readers.submit(read_all, out_r, cap, deadline)
        err = readers.submit(read_all, err_r, cap, deadline)
        heard = out.result(), err.result()
        return Ran(_end_of(ended, deadline), *heard)


def check_solution(zygote: Zygote, solution: str, request: str, limits: Limits) -> list[str]:
    """Failures by test, or one text that says how either job ended before the verdict."""
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
        return [_unheard(tested, solved, limits)]
    if solved.exit_code:  # say why the solution is gone, where the tester saw only that it is
        why = describe(solved, limits)
        return [f"{why}: {f}" if f.startswith("solution gone") else f for f in failures]
    return failures


def describe(end: JobEnd, limits: Limits) -> str:
    """How a program ended that should have ended well."""
    if end.timed_out:
        return f"over {limits.wall_s:g} s of wall time"
    if end.is_over_cpu(limits):
        return f"over {limits.cpu_s} s of CPU time"
    if end.exit_code < 0:
        return f"killed by signal {-end.exit_code}"
    return f"exit code {end.exit_code}"


def _unheard(tested: JobEnd, solved: JobEnd, limits: Limits) -> str:
    """Why there is no verdict: the solution's answers took all the time, or the sandbox failed.

    Raises:
        SandboxError: no limit explains it.
    """
    if tested.is_over_cpu(limits) and not tested.timed_out:
        return f"tests {describe(tested, limits)} on the solution's answers"
    if tested.timed_out or solved.timed_out:
        return describe(solved if solved.exit_code else tested, limits)
    raise SandboxError(f"the tester ended with {tested.exit_code} and no verdict")


def _end_of(ended: Future[JobEnd], deadline: float) -> JobEnd:
    try:
        return ended.result(max(1.0, deadline - time.monotonic()))
    except TimeoutError as error:
        raise SandboxError("a job did not end at its wall limit") from error


@contextmanager
def _file_with(content: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("stdin")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            stream.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
