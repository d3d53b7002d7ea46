"""Ends what Ray leaves behind when its driver is killed: `python reaper.py FOLDER < pipe`.

The kernel ends Ray's own processes with the driver (PR_SET_PDEATHSIG), and the workers follow; the
node's two agents would first try, for minutes, to tell a control store that is gone.
"""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path


def processes_in(folder: Path) -> list[int]:
    """Processes that have a file below `folder` open, as all of a cluster have their logs."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            if link.readlink().is_relative_to(folder):
                found.add(int(link.parts[2]))
    return sorted(found - {os.getpid()})


if __name__ == "__main__":
    cluster = Path(sys.argv[1])
    # A word means that the cluster was stopped in order; the pipe's end that the driver is gone.
    if not sys.stdin.read():
        for process in processes_in(cluster):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    shutil.rmtree(cluster, ignore_errors=True)
