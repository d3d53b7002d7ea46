"""Whether the process that holds a run open still lives, as far as this machine can tell."""

import os
import socket
from pathlib import Path


def own_process() -> str:
    """This process: host, number, and when it started in the kernel's ticks."""
    return f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"


def is_dead(process: str) -> bool:
    """Whether a process was of this host and is gone; of another host nothing is known."""
    host, _, rest = process.rpartition(" ")[0].partition(" ")
    started = process.rpartition(" ")[2]
    if host != socket.gethostname() or not rest.isdecimal():
        return False
    return _started(int(rest)) != started


def _started(number: int) -> str:
    """Of a process; empty if there is none. Numbers are used again, this with them never."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
