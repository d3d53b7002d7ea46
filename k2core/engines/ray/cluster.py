"""The Ray cluster that engines live in: the one that is there, or one on this machine."""

import logging
import os
import subprocess
import sys
import tempfile
import threading
from typing import NamedTuple

import ray

from k2core.engines.ray import reaper

_OBJECT_STORE_BYTES = 512 * 2**20
"""Holds one set of weights of a small model, and what goes to and fro."""


class _Own(NamedTuple):
    """What ends with a cluster that this process started."""

    stop: threading.Event
    reaper: "subprocess.Popen[bytes]"


_lock = threading.Lock()
_holders = 0
_own: _Own | None = None


def hold_cluster(num_cpus: int) -> None:
    """Join the cluster of `RAY_ADDRESS`, reuse this process's, or start one on this machine."""
    global _holders, _own
    with _lock:
        if not ray.is_initialized():
            os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
            if os.environ.get("RAY_ADDRESS"):
                ray.init(log_to_driver=False, logging_level=logging.ERROR)
            else:
                _own = _start(max(num_cpus, os.cpu_count() or 1))
        _holders += 1


def release_cluster() -> None:
    """Stop the cluster if we started it and nobody holds it any more."""
    global _holders, _own
    with _lock:
        _holders -= 1
        if _holders == 0 and _own is not None:
            ray.shutdown()
            _end(_own)
            _own = None


def _start(num_cpus: int) -> _Own:
    """Start Ray from a thread that outlives the stage's.

    Ray's processes ask the kernel to kill them when the thread that started them ends: that ties
    them to this process's life, and would tie them to a pool thread's.
    """
    folder = tempfile.mkdtemp(prefix="k2-ray-", dir="/tmp")  # short: sockets' paths are limited
    started, stop = threading.Event(), threading.Event()
    failure: list[BaseException] = []

    def run() -> None:
        try:
            _init(folder, num_cpus)
        except BaseException as error:
            failure.append(error)  # raised in the caller's thread
        started.set()
        stop.wait()

    command = [sys.executable, "-S", reaper.__file__, folder]
    own = _Own(stop, subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True))
    threading.Thread(target=run, name="ray", daemon=True).start()
    started.wait()
    if failure:
        _end(own)
        raise failure[0]
    return own


def _init(folder: str, num_cpus: int) -> None:
    """Start Ray; on a busy machine a node misses Ray's fixed limit of 30 s, so try again."""
    for attempts_left in (2, 1, 0):
        try:
            ray.init(
                address="local",
                num_cpus=num_cpus,
                _temp_dir=folder,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:
            ray.shutdown()
            if not attempts_left or "timed out during startup" not in str(error):
                raise
        else:
            return


def _end(own: _Own) -> None:
    own.stop.set()
    own.reaper.communicate(b"stopped in order")
