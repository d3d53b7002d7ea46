"""The Ray cluster that engines live in: the one that is there, or one on this machine."""

import logging
import os
import threading

import ray

_OBJECT_STORE_BYTES = 512 * 2**20
"""Holds one set of weights of a small model, and what goes to and fro."""
_lock = threading.Lock()
_holders = 0
_stop: threading.Event | None = None


def hold_cluster(num_cpus: int) -> None:
    """Join the cluster of `RAY_ADDRESS`, reuse this process's, or start one on this machine."""
    global _holders, _stop
    with _lock:
        if not ray.is_initialized():
            _stop = _start(num_cpus)
        _holders += 1


def release_cluster() -> None:
    """Stop the cluster if we started it and nobody holds it any more."""
    global _holders, _stop
    with _lock:
        _holders -= 1
        if _holders == 0 and _stop is not None:
            ray.shutdown()
            _stop.set()
            _stop = None


def _start(num_cpus: int) -> threading.Event:
    """Start Ray from a thread that outlives the stage's.

    Ray's processes ask the kernel to kill them when the thread that started them ends
    (PR_SET_PDEATHSIG): that ties them to this process's life, and would tie them to a pool
    thread's.
    """
    started, stop = threading.Event(), threading.Event()
    failure: list[BaseException] = []

    def run() -> None:
        try:
            _initialise(num_cpus)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            failure.append(error)
        started.set()
        stop.wait()

    threading.Thread(target=run, name="ray", daemon=True).start()
    started.wait()
    if failure:
        stop.set()
        raise failure[0]
    return stop


def _initialise(num_cpus: int) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
        return
    ray.init(
        num_cpus=max(num_cpus, os.cpu_count() or 1),
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
