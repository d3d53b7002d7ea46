"""One rank on the machine of the stage that started it: does the job, and leaves how it ended."""

import multiprocessing
import os
import sys
import threading
import warnings
from collections.abc import Mapping
from multiprocessing.connection import wait
from pathlib import Path

from k2core.engines.torchrun.desk import open_line
from k2core.engines.torchrun.job import RankJob, read_job, write_failure, write_value
from k2core.reporting import Silent

_LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_", "GROUP_", "ROLE_", "MASTER_", "TORCHELASTIC_")

SETTINGS = {
    "OMP_NUM_THREADS": "1",
    # glibc would give activations back to the system and fault them in again each step
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2),
    "MALLOC_TRIM_THRESHOLD_": str(4 * 1024**3),
    "PYTHONWARNINGS": "ignore",
}
"""A rank's environment, whoever starts it."""


def be_rank(folder: Path, place: Path, environ: Mapping[str, str]) -> None:
    """A rank's life, in the process that torchrun's agent had forked for it.

    Args:
        folder: what the stage's process and its ranks leave for each other.
        place: the stage's working directory.
        environ: the stage's environment; what the agent set of a rank is kept.
    """
    os.setsid()  # a Ctrl-C of the terminal reaches the stage, which ends its ranks
    _die_with_stage()
    os.chdir(place)
    launched = {n: value for n, value in os.environ.items() if n.startswith(_LAUNCHERS)}
    os.environ.clear()
    os.environ.update({**environ, **launched})
    warnings.simplefilter("ignore")
    rank = int(os.environ["RANK"])
    (folder / f"pid-{rank}").write_text(str(os.getpid()))
    try:
        do_job(folder, rank)
    except Exception as error:  # the stage's process raises it
        write_failure(folder, rank, error)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)  # gloo's threads would otherwise be joined in a process group that is gone


def _die_with_stage() -> None:
    """End this process with the stage's, even in the middle of work."""
    stage = multiprocessing.parent_process()
    assert stage is not None

    def watch() -> None:
        wait([stage.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="watch", daemon=True).start()


def do_job(folder: Path, rank: int) -> None:
    """The work, with the reporter of this rank."""
    import torch

    torch.set_num_threads(1)  # two contending OpenMP threads are slower than two ranks
    report = open_line(folder) if rank == 0 else Silent()
    value = work_as_rank(read_job(folder, report))
    if rank == 0:
        write_value(folder, value)


def work_as_rank(job: RankJob) -> object:
    """The work, in the group that the launcher's variables describe."""
    from k2core.engines.torchrun.group import joined_ranks

    with joined_ranks(job.placement):
        # What the work starts in turn, such as engines, is no rank of this group.
        for name in [n for n in os.environ if n.startswith(_LAUNCHERS)]:
            del os.environ[name]
        return job.work(*job.inputs)
