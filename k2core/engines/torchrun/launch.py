"""Starting ranks: a stage's work runs on all of them, here or wherever a cluster started them.

A rank is one process with one thread: two contending OpenMP threads are slower than two ranks.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import TypeVar, cast

from k2core.engines.torchrun.canary import Canary
from k2core.engines.torchrun.desk import Desk
from k2core.engines.torchrun.group import is_rank, joined_ranks
from k2core.engines.torchrun.job import RankJob, first_cause, read_failures, read_value, write_job
from k2core.engines.torchrun.peers import RankError
from k2core.engines.torchrun.rank import SETTINGS, be_rank
from k2core.reporting import Reporter, Silent
from schemas.placement import Placement

T = TypeVar("T")
_POLL_S = 0.2
_PRELOADED = ["k2core.engines.torchrun.preloaded"]


def run_ranks(
    work: Callable[..., T], *inputs: object, placement: Placement, report: Reporter | None = None
) -> T:
    """Call `work(*inputs)` on every rank and return what rank 0 returns.

    In a process that a launcher started as a rank this is a plain call, whose value is the rank's
    own. Elsewhere torchrun's agent starts the placement's ranks on this machine: `work` and
    `inputs` are pickled for them, but for the reporter, which rank 0 speaks to from afar and which
    is silent on the others.

    Raises:
        RankError: a rank other than 0 failed, or one died; names it and its machine.
        Exception: as rank 0 raised it, or, what is not finite, any of them.
    """
    if is_rank():
        with joined_ranks(placement):
            return work(*inputs)
    # Sockets' paths are limited, hence /tmp.
    with tempfile.TemporaryDirectory(prefix="k2-ranks-", dir="/tmp") as name:
        folder, report = Path(name), report or Silent()
        write_job(folder, RankJob(work, inputs, placement), report)
        with Desk(folder, report):
            _run_agent(folder, placement.num_ranks)
        return cast("T", read_value(folder))


def _settings() -> dict[str, str]:
    """A rank's environment besides torchrun's."""
    path = os.pathsep.join(path for path in sys.path if path) or "."
    return SETTINGS | {"GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": path}


def _run_agent(folder: Path, num_ranks: int) -> None:
    """Torchrun's agent in a thread, so that a signal to this process ends the ranks, too.

    Raises:
        RankError: a rank failed or died.
    """
    failure: list[BaseException] = []
    ended = threading.Event()  # `Thread.join` interrupted by a signal takes a thread for ended

    def work() -> None:
        try:
            _launch(folder, num_ranks)
        except BaseException as error:
            failure.append(error)  # raised in the caller's thread
        ended.set()

    # Ranks have sessions of their own: a Ctrl-C of the terminal does not reach them.
    with Canary() as canary:
        threading.Thread(target=work, name="agent", daemon=True).start()
        try:
            while not ended.wait(_POLL_S):
                canary.check()
        except BaseException:
            while not ended.wait(_POLL_S):
                _kill(folder)
            raise
    if failure:
        raise _explain(folder, failure[0])


def _launch(folder: Path, num_ranks: int) -> None:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.distributed.launcher"):
        logger = logging.getLogger(name)  # what they have to say, `_explain` says
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
    quiet = {rank: Std.ALL for rank in range(1, num_ranks)}  # rank 0 alone has the terminal
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_ranks,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        run_id=uuid.uuid4().hex,
        max_restarts=0,
        start_method="forkserver",
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / "logs"), redirects=quiet),
        shutdown_timeout=5,
    )
    _start_server()
    elastic_launch(config, be_rank)(folder, Path.cwd(), dict(os.environ) | _settings())


def _start_server() -> None:
    """The process that ranks are forked from: it imports once what each would take seconds for.

    It has one thread, as a process that is forked must. So nothing that starts threads is imported
    there (polars, pyarrow), and nothing at all where a GPU's driver could come in.
    """
    if not Path("/dev/nvidiactl").exists():
        multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOADED)
    known = dict(os.environ)
    os.environ.update(_settings())
    try:
        forkserver.ensure_running()
    finally:
        for name in _settings():
            del os.environ[name]
        os.environ.update(known)


def _kill(folder: Path) -> None:
    for path in folder.glob("pid-*"):
        try:
            os.killpg(int(path.read_text()), signal.SIGKILL)
        except (ProcessLookupError, ValueError):  # gone, or its number half written
            continue


def _explain(folder: Path, failure: BaseException) -> BaseException:
    """What the stage's process raises: the first cause, by what the ranks left."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    if not isinstance(failure, ChildFailedError):
        return failure
    if cause := first_cause(read_failures(folder)):
        return cause
    for rank, process in failure.failures.items():
        how = f"rank {rank} on {socket.gethostname()} {_describe(process.exitcode)}"
        return RankError(how + _last_words(folder, rank))
    return RankError(str(failure))


def _describe(exit_code: int) -> str:
    if exit_code < 0:
        return f"was killed by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code}"


def _last_words(folder: Path, rank: int) -> str:
    """What a rank that left no error wrote to its log."""
    for log in folder.glob(f"logs/*/attempt_0/{rank}/stderr.log"):
        if lines := log.read_text(errors="replace").splitlines()[-20:]:
            return ":\n" + "\n".join(lines)
    return ""
