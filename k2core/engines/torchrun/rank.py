"""One rank on the machine of the stage that started it: does the job, and leaves how it ended.

`python -m k2core.engines.torchrun.rank FOLDER PARENT_PID`
"""

import os
import sys
import threading
import time
from pathlib import Path

from k2core.engines.torchrun.desk import Line
from k2core.engines.torchrun.job import Job, read_job, write_failure, write_value
from k2core.reporting import Silent

_LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_", "GROUP_", "ROLE_", "MASTER_", "TORCHELASTIC_")


def die_with(parent: int) -> None:
    """End this process within half a second of its parent's death, even in the middle of work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, name="watch", daemon=True).start()


def do_job(folder: Path, rank: int) -> None:
    """The work, with the reporter of this rank."""
    import torch

    torch.set_num_threads(1)  # two contending OpenMP threads are slower than two ranks
    report = Line(folder) if rank == 0 else Silent()
    value = _work(read_job(folder, report))
    if rank == 0:
        write_value(folder, value)


def _work(job: Job) -> object:
    from k2core.engines.torchrun.group import joined_ranks

    with joined_ranks(job.placement):
        # What the work starts in turn, such as engines, is no rank of this group.
        for name in [n for n in os.environ if n.startswith(_LAUNCHERS)]:
            del os.environ[name]
        return job.work(*job.inputs)


def main() -> int:
    """The exit code."""
    die_with(int(sys.argv[2]))
    folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    (folder / f"pid-{rank}").write_text(str(os.getpid()))
    try:
        do_job(folder, rank)
    except Exception as error:  # the stage's process raises it
        write_failure(folder, rank, error)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # gloo's threads would otherwise be joined in a process group that is gone
