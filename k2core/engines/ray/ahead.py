"""Engines' processes begin while their stage still prepares: vLLM takes seconds to be imported."""

import contextlib
import os
import threading
from collections.abc import Iterator

from k2core.engines.ray.actor import start_actor
from k2core.engines.ray.cluster import hold_cluster, release_cluster
from k2core.engines.ray.resources import actor_options, grant, see_cluster
from k2core.engines.ray.room import room_for
from k2core.engines.ray.spare import await_spare, drop_spare, put_by
from schemas.placement import Serving


@contextlib.contextmanager
def engines_ahead(serving: Serving) -> Iterator[None]:
    """Start the processes of engines in a thread, for `serve` to find; any that it left end here.

    Only on a cluster of this machine's own cores: elsewhere engines wait for their room.
    """
    if os.environ.get("RAY_ADDRESS") or room_for(serving) or serving.devices > 1:
        yield
        return
    starting = threading.Thread(target=_start, args=(serving,), name="engines", daemon=True)
    await_spare(starting)
    starting.start()
    try:
        yield
    finally:
        drop_spare()


def _start(serving: Serving) -> None:
    # What fails here fails in `serve`, too, which says it.
    with contextlib.suppress(Exception):
        hold_cluster(serving.num_engines)
        try:
            granted = grant(serving, see_cluster())
            if not granted.gpu:
                for _ in range(serving.num_engines):
                    put_by(start_actor(actor_options(serving, granted), one_node=granted.one_node))
        finally:
            release_cluster()
