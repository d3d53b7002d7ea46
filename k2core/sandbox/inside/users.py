"""Who a job runs as, and how much CPU time all its processes took."""

import os

_LOW, _HIGH = 60_001, 1 << 20
_SLOTS = 256
_ROOM = 256
"""Threads that jobs may start beside what runs already under a user that they share."""


class Users:
    """A user of its own for each job, where the zygote is root; else all share the zygote's."""

    def __init__(self) -> None:
        with open("/proc/self/uid_map") as stream:  # noqa: PTH123 - one import fewer in the jail
            mapped = [list(map(int, line.split())) for line in stream]
        large = any(first + length > _HIGH + (1 << 31) - 1 for first, _, length in mapped)
        # Distinct from those of another zygote, where there are enough of them.
        start = _HIGH + (os.getpid() % (1 << 22)) * _SLOTS if large else _LOW
        self._free = list(range(start, start + _SLOTS)) if os.getuid() == 0 else []

    def take(self) -> int:
        """A user for a job; 0 if it keeps the zygote's."""
        return self._free.pop(0) if self._free else 0

    def give_back(self, user: int) -> None:
        """After the job's end."""
        if user:
            self._free.append(user)


def processes_allowed(own: int, shared: bool) -> int:
    """The limit that gives a job `own` threads, counted with all others of its user if shared."""
    if not shared:
        return own
    me, running = os.getuid(), 0
    for name in os.listdir("/proc"):  # noqa: PTH208
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == me:  # noqa: PTH116
                running += len(os.listdir(f"/proc/{name}/task"))  # noqa: PTH208
        except OSError:  # gone meanwhile
            continue
    return running + _ROOM


def cpu_time(pid: int, with_children: bool) -> float:
    """Seconds that a process took, those of its threads and of children it waited for too.

    Args:
        pid: the process.
        with_children: whether to add all descendants that still run.
    """
    names = filter(str.isdigit, os.listdir("/proc")) if with_children else [str(pid)]  # noqa: PTH208
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for name in names:
        try:
            with open(f"/proc/{name}/stat") as stream:  # noqa: PTH123
                fields = stream.read().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        parents[int(name)] = int(fields[1])
        ticks[int(name)] = sum(map(int, fields[11:15]))
    inside = {pid}
    while more := {child for child, parent in parents.items() if parent in inside} - inside:
        inside |= more
    return sum(ticks.get(each, 0) for each in inside) / os.sysconf("SC_CLK_TCK")
