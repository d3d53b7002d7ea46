"""The zygote: a warm interpreter that forks one jailed job a request.

A request is one packet on the control socket: JSON limits, and four descriptors (payload, standard
input, output, error). The payload itself never passes through this process, so that no later job
can find it in memory. The reply is JSON: id, exit_code, cpu_s, timed_out.
"""

import contextlib
import gc
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import time
import traceback
from typing import Any

from k2core.sandbox.inside import jail, solver, tester

_PRELOADED = (
    "bisect collections copy dataclasses datetime decimal enum fractions functools heapq itertools "
    "math operator random re statistics string typing"
)
_EXIT_JAIL_FAILED = 97
_PROFILES = {"binary": "program", "shell": "processes"}


class _Job:
    """A running job as the zygote sees it."""

    def __init__(self, request: dict[str, Any], pid: int) -> None:
        self.id = request["id"]
        self.deadline = time.monotonic() + request["wall_s"]
        self.pid = pid
        self.heard = b""
        self.timed_out = False

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.heard.splitlines(keepends=True) if b"\n" in line]

    def kill(self) -> None:
        """Kill the job's first process; its namespace dies with it."""
        self.timed_out = True
        started = self.messages()
        with contextlib.suppress(ProcessLookupError):  # ended by itself just now
            os.kill(started[0]["first"] if started else self.pid, signal.SIGKILL)


class _Server:
    """Accepts requests until the control socket closes, which is when the driver has gone."""

    def __init__(self, control: socket.socket, tier: str, filters: dict[str, bytes]) -> None:
        self._control, self._tier, self._filters = control, tier, filters
        self._jobs: dict[int, _Job] = {}
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        self._control.send(b'{"ready": true}')
        while True:
            now = time.monotonic()
            waiting = [j.deadline - now for j in self._jobs.values() if not j.timed_out]
            timeout = max(0, int(min(waiting) * 1000)) + 1 if waiting else None
            for descriptor, _ in self._poll.poll(timeout):
                if descriptor == self._control.fileno():
                    self._accept()
                else:
                    self._listen(descriptor)
            now = time.monotonic()
            for job in self._jobs.values():
                if job.deadline <= now and not job.timed_out:
                    job.kill()

    def _accept(self) -> None:
        data, descriptors, _, _ = socket.recv_fds(self._control, 4096, 4)
        if not data:
            for job in self._jobs.values():
                job.kill()
            os._exit(0)
        request = json.loads(data)
        status_r, status_w = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(status_r)
                self._control.close()
                self._start(request, descriptors, status_w)
            except BaseException:  # must not fall back into the server's loop
                error = traceback.format_exc(limit=1).strip().splitlines()[-1]
                _tell(status_w, {"failed": error})
            os._exit(_EXIT_JAIL_FAILED)
        for descriptor in (status_w, *descriptors):
            os.close(descriptor)
        self._jobs[status_r] = _Job(request, pid)
        self._poll.register(status_r, select.POLLIN)

    def _listen(self, descriptor: int) -> None:
        job = self._jobs[descriptor]
        data = os.read(descriptor, 4096)
        if data:
            job.heard += data
            return
        self._poll.unregister(descriptor)
        os.close(descriptor)
        del self._jobs[descriptor]
        os.waitpid(job.pid, 0)
        reply = {"id": job.id, "exit_code": -9, "cpu_s": 0.0, "timed_out": job.timed_out}
        for message in job.messages():
            reply.update(message)
        self._control.send(json.dumps(reply).encode())

    def _start(self, request: dict[str, Any], descriptors: list[int], status: int) -> None:
        """Tier A: this process waits outside, process 1 waits inside, its child is the job."""
        payload, *streams = descriptors
        jail.die_with_parent()
        if self._tier == "A":
            jail.enter_namespaces()
            first = os.fork()
            if first:
                _tell(status, {"first": first})
                os.waitpid(first, 0)
                os._exit(0)
            jail.mount_fresh(request["disk_mb"])
        child = os.fork()
        if child:
            jail.hide()
            for descriptor in descriptors:
                os.close(descriptor)
            if self._tier != "A":
                _tell(status, {"first": child})
            _report_end(child, status)
        jail.limit(request)
        jail.drop_user()
        jail.die_with_parent()  # anew, since a change of user forgets it
        os.set_inheritable(status, False)
        self._become_job(request, payload, (streams[0], streams[1], streams[2]))

    def _become_job(
        self, request: dict[str, Any], payload: int, streams: tuple[int, int, int]
    ) -> None:
        profile = _PROFILES.get(request["program"], "single")
        jail.take_streams(payload, streams)
        os.environ.clear()
        os.environ.update(LANG="C.UTF-8", PATH="/usr/bin:/bin", HOME="/")
        try:
            if self._tier == "A":
                jail.drop_capabilities()
            if self._tier == "B":
                jail.hide()
                jail.restrict_files()
            if self._tier != "none":
                jail.filter_calls(self._filters[profile])
        except BaseException:
            os._exit(_EXIT_JAIL_FAILED)
        _run_program(request["program"])


def _run_program(kind: str) -> None:
    if kind == "binary":
        os.execve(3, ["program"], dict(os.environ))
    if kind == "shell":
        os.execve("/usr/bin/bash", ["bash", "/proc/self/fd/3"], dict(os.environ))
    with os.fdopen(3, "rb") as stream:
        source = stream.read().decode()
    gc.unfreeze()
    gc.enable()
    code = 0
    try:
        if kind == "solver":
            solver.serve(source)
        elif kind == "tester":
            tester.run_tests(source)
        else:
            main = type(sys)("__main__")
            sys.modules["__main__"] = main
            exec(compile(source, "main.py", "exec"), main.__dict__)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # the program's own failure: shown as Python shows it
        traceback.print_exc()
        code = 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        code = code or 1
    os._exit(code & 255)


def _report_end(child: int, status: int) -> None:
    """As process 1 of the job: reap all, report the job's end, and take the rest along."""
    while True:
        pid, code, usage = os.wait4(-1, 0)
        if pid == child:
            break
    end = {
        "exit_code": os.waitstatus_to_exitcode(code),
        "cpu_s": usage.ru_utime + usage.ru_stime,
    }
    _tell(status, end)
    os._exit(0)


def _tell(status: int, message: dict[str, Any]) -> None:
    os.write(status, json.dumps(message).encode() + b"\n")


def main() -> None:
    """Serve on the socket of the first argument, in the tier of the second, after the third."""
    control = socket.socket(fileno=int(sys.argv[1]))
    tier = sys.argv[2]
    for name in _PRELOADED.split():
        __import__(name)
    if sys.argv[3:]:
        prepared = sys.modules["prepared"] = type(sys)("prepared")
        exec(compile(sys.argv[3], "prepared.py", "exec"), prepared.__dict__)
    filters = {
        profile: pkgutil.get_data("k2core.sandbox.inside", f"{profile}.bpf") or b""
        for profile in ("single", *_PROFILES.values())
    }
    gc.collect()
    gc.freeze()  # shared pages stay shared: the collector does not touch them
    gc.disable()
    _Server(control, tier, filters).serve()
