"""Rows through replicas by Ray Data: batches go to whoever is free, results come one by one."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext

from k2core.engines.ray.cluster import hold_cluster, release_cluster
from k2core.engines.ray.resources import actor_options, grant, see_cluster
from k2core.engines.ray.spare import drop_spare
from schemas.placement import Serving

Row = Mapping[str, Any]
"""Plain values by name; all rows have the same names."""
Work = Callable[[Sequence[Row]], Iterator[Row]]
"""Makes rows from a batch, and yields each when it is finished."""

_RETRIES = 3


class ReplicaLostError(RuntimeError):
    """A replica died again and again; nothing is known of its batch."""


class _Replica:
    """Works in a process of its own with what it opened once, such as an engine."""

    def __init__(self, open_work: Callable[[], Work]) -> None:
        self._work = open_work()

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for row in self._work(batch.to_pylist()):
            yield pa.Table.from_pylist([row])


def stream_rows(
    batches: Sequence[Sequence[Row]],
    open_work: Callable[[], Work],
    serving: Serving,
) -> Iterator[Row]:
    """Send each batch whole to a replica that is free; yields results as they are finished.

    A replica that dies is replaced and its batch done again; what had come of it may come twice.

    Args:
        batches: rows, to be worked on together.
        open_work: opens, in each replica, what it works with; must be picklable.
        serving: replicas, and the devices that each has.

    Raises:
        ReplicaLostError: a replica died for good.
        Exception: what the work raised.
    """
    drop_spare()
    hold_cluster(serving.num_engines * serving.devices)
    try:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = DataContext.get_current().copy()
        context.enable_progress_bars = False
        context.target_max_block_size = 1  # a row is a block, so that it leaves when it is there
        with DataContext.current(context):
            tables = [pa.Table.from_pylist([dict(row) for row in batch]) for batch in batches]
            results = ray.data.from_arrow(tables).map_batches(
                _Replica,
                batch_size=None,  # a table is a batch
                batch_format="pyarrow",
                fn_constructor_args=[open_work],
                compute=ActorPoolStrategy(
                    size=serving.num_engines, max_tasks_in_flight_per_actor=1
                ),
                max_task_retries=_RETRIES,
                **actor_options(serving, grant(serving, see_cluster())),
            )
            # Fetching ahead would hold a result back until the next one is there.
            found = results.iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            )
            for table in found:
                yield from table.to_pylist()
    except ray.exceptions.RayTaskError as error:
        cause = error.cause  # its `__cause__` is Ray Data's own
        raise (cause if isinstance(cause, Exception) else error) from error
    except ray.exceptions.RayError as error:
        raise ReplicaLostError(f"a replica died {_RETRIES + 1} times: {error}") from error
    finally:
        release_cluster()
