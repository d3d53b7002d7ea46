"""The zygote: a warm interpreter that forks one jailed process a request, or two for a verdict.

A request is one packet on the control socket: JSON limits, and descriptors (payload, standard
input, output, error; of a verdict the solution, the tests and where the verdict goes). No payload
passes through this process, so that no later job can find it in memory. The reply is JSON: id, and
by name how each process ended.
"""

import ctypes
import gc
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import time
from typing import cast

from k2core.sandbox.inside import jail
from k2core.sandbox.inside.jail import Request
from k2core.sandbox.inside.program import Cell, Streams, become_job
from k2core.sandbox.inside.users import Users, cpu_time

_PRELOADED = (
    "bisect collections copy dataclasses datetime decimal enum fractions functools heapq itertools "
    "math operator random re statistics string threading typing"
)
_PROFILES = {"binary": "program", "shell": "processes"}
_LOOK_S = 0.1
"""How often the CPU time of a job that runs for long is added up."""
_ARENA_MAX = -8


class _Process:
    """A running process of a job, the first of its namespaces if it has any."""

    def __init__(self, name: str, pid: int, user: int, status: int) -> None:
        self.name, self.pid, self.user, self._status = name, pid, user, status
        self.handle = os.pidfd_open(pid)
        self.timed_out = self._stopped = self._over_cpu = False
        self._cpu_s = 0.0

    def kill(self) -> None:
        """With all that it started."""
        signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def stop(self) -> None:
        """End it, since nobody needs it any more."""
        self._stopped = True
        self.kill()

    def look(self, cpu_s: int, is_shell: bool) -> None:
        """Kill it if it took all its CPU time, with that of its children and threads."""
        self._cpu_s = cpu_time(self.pid, is_shell)
        if self._cpu_s >= cpu_s:
            self._over_cpu = True
            self.kill()

    def end(self) -> dict[str, object]:
        """How it ended; its CPU time includes that of all it started."""
        _, code, usage = os.wait4(self.pid, 0)
        said = os.read(self._status, 4096)
        os.close(self._status)
        os.close(self.handle)
        if said:
            return {"failed": said.decode(errors="replace")}
        exit_code = os.waitstatus_to_exitcode(code)
        if exit_code == -signal.SIGKILL and (self._over_cpu or self._stopped):
            exit_code = -signal.SIGXCPU if self._over_cpu else 0
        return {
            "exit_code": exit_code,
            # The kernel forgets children that die with the first process of a namespace.
            "cpu_s": max(self._cpu_s, usage.ru_utime + usage.ru_stime),
            "timed_out": self.timed_out,
        }


class _Job:
    """A request under way."""

    def __init__(self, request: Request) -> None:
        self.id, self.cpu_s = request["id"], request["cpu_s"]
        self.is_shell = request["program"] == "shell"
        now = time.monotonic()
        self.deadline = now + request["wall_s"]
        # Sooner not even all processors together can have used up its CPU time.
        self._next_look = now + self.cpu_s / (os.cpu_count() or 1)
        self.running: dict[int, _Process] = {}
        self.ends: dict[str, dict[str, object]] = {}

    @property
    def next_look(self) -> float:
        """When to look at it again."""
        return min(self.deadline, self._next_look)

    def look(self) -> None:
        """Kill what is over its time."""
        now = time.monotonic()
        if self.deadline <= now:
            self.deadline = self._next_look = float("inf")
            for process in self.running.values():
                process.timed_out = True
                process.kill()
        elif self._next_look <= now:
            self._next_look = now + _LOOK_S
            for process in self.running.values():
                process.look(self.cpu_s, self.is_shell)


class _Server:
    """Accepts requests until the control socket closes, which is when the driver has gone."""

    def __init__(self, control: socket.socket, tier: str, filters: dict[str, bytes]) -> None:
        self._control, self._tier, self._filters = control, tier, filters
        self._rules = self._find_rules()
        self._users = Users()
        self._jobs: dict[int, _Job] = {}
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def _find_rules(self) -> int | None:
        try:
            return None if self._tier == "none" else jail.ruleset()
        except OSError:
            if self._tier == "B":
                raise
            return None  # namespaces do without

    def serve(self) -> None:
        self._control.send(b'{"ready": true}')
        while True:
            for descriptor, _ in self._poll.poll(self._timeout_ms()):
                if descriptor == self._control.fileno():
                    self._accept()
                else:
                    self._end(descriptor)
            for job in set(self._jobs.values()):
                job.look()

    def _timeout_ms(self) -> int | None:
        if not self._jobs:
            return None
        left = min(job.next_look for job in self._jobs.values()) - time.monotonic()
        return max(0, int(min(left, 3600.0) * 1000)) + 1

    def _accept(self) -> None:
        data, descriptors, _, _ = socket.recv_fds(self._control, 4096, 4)
        if not data:
            for job in self._jobs.values():
                for process in job.running.values():
                    process.kill()
            os._exit(0)
        request = cast(Request, json.loads(data))
        job = _Job(request)
        try:
            if request["program"] == "verdict":
                self._start_verdict(job, request, descriptors)
            else:
                self._start(job, request, Streams(*descriptors))
        except OSError as error:
            job.ends["fork"] = {"failed": f"cannot fork: {error}"}
            for process in job.running.values():
                process.kill()
            if not job.running:
                self._reply(job)
        for descriptor in descriptors:
            os.close(descriptor)

    def _start_verdict(self, job: _Job, request: Request, descriptors: list[int]) -> None:
        """Two processes that share two pipes and nothing else; solver first."""
        solution, tests, verdict = descriptors
        queries_r, queries_w = os.pipe()
        answers_r, answers_w = os.pipe()
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            solver = Streams(solution, queries_r, answers_w, null)
            self._start(job, {**request, "program": "solver"}, solver)
            tester = Streams(tests, answers_r, queries_w, verdict)
            self._start(job, {**request, "program": "tester"}, tester)
        finally:
            for descriptor in (queries_r, queries_w, answers_r, answers_w, null):
                os.close(descriptor)

    def _start(self, job: _Job, request: Request, streams: Streams) -> None:
        name = request["program"]
        # A tester runs no line of a solution: the zygote's own namespaces and the rules will do.
        namespaces = self._tier == "A" and name != "tester"
        calls = "" if self._tier == "none" else _PROFILES.get(name, "single")
        user = 0 if self._tier == "A" else self._users.take()
        rules = None if namespaces else self._rules
        cell = Cell(self._tier, namespaces, rules, user, self._filters.get(calls, b""))
        status_r, status_w = os.pipe()
        try:
            pid = jail.fork_into_namespaces() if namespaces else os.fork()
        except OSError:
            os.close(status_r)
            os.close(status_w)
            self._users.give_back(user)
            raise
        if pid == 0:
            become_job(cell, request, streams, status_w)
        os.close(status_w)
        process = _Process(name, pid, user, status_r)
        job.running[process.handle] = process
        self._jobs[process.handle] = job
        self._poll.register(process.handle, select.POLLIN)

    def _end(self, descriptor: int) -> None:
        job = self._jobs.pop(descriptor)
        process = job.running.pop(descriptor)
        self._poll.unregister(descriptor)
        job.ends[process.name] = process.end()
        self._users.give_back(process.user)
        if process.name == "tester":  # nobody asks the solver any more
            for other in job.running.values():
                other.stop()
        if not job.running:
            self._reply(job)

    def _reply(self, job: _Job) -> None:
        self._control.send(json.dumps({"id": job.id, "ends": job.ends}).encode())


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
    os.environ.clear()
    os.environ.update(LANG="C.UTF-8", PATH="/usr/bin:/bin", HOME="/")
    ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)  # a thread's own arena would reserve 64 MiB
    gc.collect()
    gc.freeze()  # shared pages stay shared: the collector does not touch them
    gc.disable()
    _Server(control, tier, filters).serve()
