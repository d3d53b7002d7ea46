"""A forked process on its way into the jail, and what it runs there."""

import atexit
import gc
import os
import signal
import sys
import threading
import traceback
from typing import NamedTuple, NoReturn

from k2core.sandbox.inside import jail, solver, tester
from k2core.sandbox.inside.users import processes_allowed
from k2core.sandbox.inside.waking import wake_by_pipes

_EXIT_JAIL_FAILED = 97
_TESTER_PROCESSES = 256


class Streams(NamedTuple):
    """Descriptors of one process."""

    payload: int
    stdin: int
    stdout: int
    stderr: int


class Cell(NamedTuple):
    """What confines one process."""

    tier: str
    namespaces: bool
    rules: int | None
    """Landlock's, where they are needed."""
    user: int
    """To become, if not 0."""
    calls: bytes
    """The seccomp filter; empty for none."""


def become_job(cell: Cell, request: jail.Request, streams: Streams, status: int) -> NoReturn:
    """Confine this process, run the program and end; it must never fall back into the server."""
    at = [status]
    try:
        _confine(cell, request, streams, at)
        jail.release()
    except BaseException:
        error = traceback.format_exc(limit=-1).strip().splitlines()[-1]
        os.write(at[0], error.encode(errors="replace")[:4000])
        os._exit(_EXIT_JAIL_FAILED)
    try:
        _run(request["program"])
    finally:
        os._exit(1)


def _confine(cell: Cell, request: jail.Request, streams: Streams, at: list[int]) -> None:
    allowed = jail.MAX_PROCESSES
    if request["program"] == "tester" or not cell.namespaces:
        own = _TESTER_PROCESSES if request["program"] == "tester" else allowed
        allowed = processes_allowed(own, shared=cell.tier != "A" and not cell.user)
    if cell.namespaces:
        jail.map_user()
        jail.die_with_parent()
    jail.expect_to_die_first()
    if cell.namespaces:
        jail.mount_fresh(request["disk_mb"])
    if cell.user:
        jail.drop_user(cell.user)
    jail.die_with_parent()  # anew, since a change of user forgets it
    if cell.rules is not None:
        jail.restrict_files(cell.rules)
    jail.take_streams(streams.payload, (streams.stdin, streams.stdout, streams.stderr), at[0])
    at[0] = jail.STATUS
    jail.limit(request, allowed)
    if cell.tier == "A":
        jail.drop_capabilities()
    if cell.tier != "none":
        jail.hide()
    if cell.calls:
        jail.filter_calls(cell.calls)


def _run(kind: str) -> None:
    if kind in ("binary", "shell"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    if kind == "binary":
        os.execve(3, ["program"], dict(os.environ))
    if kind == "shell":
        os.execve("/usr/bin/bash", ["bash", "/proc/self/fd/3"], dict(os.environ))
    with os.fdopen(3, "rb") as stream:
        source = stream.read().decode(errors="surrogatepass")
    gc.unfreeze()
    gc.enable()
    code = 0
    atexit._clear()
    wake_by_pipes()
    try:
        if kind == "solver":
            solver.serve(source)
        elif kind == "tester":
            tester.run_tests(source)
        else:
            _run_main(source)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # the program's own failure: shown as Python shows it
        traceback.print_exc()
        code = 1
    try:
        if kind not in ("solver", "tester"):
            _end_as_python_does()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        code = code or 1
    os._exit(code & 255)


def _run_main(source: str) -> None:
    main = type(sys)("__main__")
    sys.modules["__main__"] = main
    exec(compile(source, "main.py", "exec"), main.__dict__)


def _end_as_python_does() -> None:
    """Wait for threads that are no daemons, then call what was to be called at the end."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
