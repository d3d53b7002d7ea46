"""Room for a trainer and its engines: bundles of one placement group, given together or not at all.

So Ray knows which GPUs the trainer has. Without `sleep` no engine lands on one of them; with it an
engine's workers live in the bundles of the ranks whose GPUs they share.
"""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import ray
from ray.util import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from k2core.engines.ray.resources import (
    Accelerators,
    Grant,
    actor_options,
    engine_bundles,
    is_one_node,
    see_cluster,
)
from schemas.placement import Placement, Serving

if TYPE_CHECKING:
    from ray.util.placement_group import PlacementGroup

_PATIENCE_S = 600.0
"""How long a cluster's nodes may take to join; they are started together."""
_PLACING_S = 60.0
_POLL_S = 1.0
_HALF = 0.5
"""Of a GPU, by Ray's count: it is a rank's and an engine's."""


class Bundles(NamedTuple):
    """What is asked of Ray: first a bundle a rank, then the engines' where they have their own."""

    asked: list[dict[str, float]]
    num_ranks: int
    engines: list[list[int]]
    """Of each engine, by places in `asked`; its own process lives in the first."""
    granted: Grant
    shared: bool
    """Engines' GPUs are ranks' GPUs."""


def plan_bundles(placement: Placement, cluster: Accelerators) -> Bundles:
    """What a trainer and its engines need: GPUs where the cluster has any, else CPU cores.

    Raises:
        RuntimeError: there is too little of them; says how much is wanted, and by whom.
    """
    serving, ranks = placement.serving, placement.num_ranks
    gpu = bool(cluster.gpus) or placement.gpu != "cpu"
    _check_room(placement, cluster, gpu=gpu)
    device = {"GPU": 1.0} if gpu else {}
    if gpu and serving.sleep:
        # Besides the rank a bundle holds an engine's process.
        asked = [{"CPU": 2.0, **device} for _ in range(ranks)]
        firsts = range(0, serving.num_engines * serving.devices, serving.devices)
        engines = [list(range(first, first + serving.devices)) for first in firsts]
        granted = Grant(gpu=True, one_node=serving.devices == 1)
        return Bundles(asked, ranks, engines, granted, shared=True)
    one_node = is_one_node(serving, cluster, gpu=gpu)
    asked, engines = [{"CPU": 1.0, **device} for _ in range(ranks)], []
    for _ in range(serving.num_engines):
        own = engine_bundles(serving, gpu=gpu, one_node=one_node)
        engines.append(list(range(len(asked), len(asked) + len(own))))
        asked += own
    return Bundles(asked, ranks, engines, Grant(gpu, one_node), shared=False)


def _check_room(placement: Placement, cluster: Accelerators, *, gpu: bool) -> None:
    serving, ranks = placement.serving, placement.num_ranks
    wanted = serving.num_engines * serving.devices
    if gpu and serving.sleep and wanted > ranks:
        raise RuntimeError(
            f"placement.serving.sleep puts {wanted} of the engines' GPUs on the trainer's {ranks}: "
            "lower num_engines, tp or pp"
        )
    there, what = (cluster.gpus, "GPUs") if gpu else (cluster.cpus, "CPU cores")
    needed = ranks if gpu and serving.sleep else ranks + wanted
    if needed > there:
        share = ", or set placement.serving.sleep" if needed > ranks and gpu else ""
        raise RuntimeError(
            f"{ranks} ranks and {serving.num_engines} engines of {serving.devices} need {needed} "
            f"{what}, and Ray's cluster has {there:.0f}: lower placement.num_ranks or "
            f"placement.serving.num_engines{share}"
        )


class Room(NamedTuple):
    """A placement group that stands; may be sent to the actors that live in it."""

    group: "PlacementGroup"
    bundles: Bundles
    serving: Serving
    order: list[int]
    """The ranks' bundles by machine, so that neighbouring ranks are neighbours."""

    def rank_options(self, rank: int) -> dict[str, object]:
        """Of the actor that a rank is."""
        share = _HALF if self.bundles.shared else 1.0
        return {
            "num_cpus": 1,
            "num_gpus": share if self.bundles.granted.gpu else 0,
            "scheduling_strategy": PlacementGroupSchedulingStrategy(self.group, self.order[rank]),
        }

    def engine_options(self, engine: int) -> dict[str, object]:
        """Of the actor that an engine's own process is."""
        shared, one_node = self.bundles.shared, self.bundles.granted.one_node
        own = [self.order[n] if shared else n for n in self.bundles.engines[engine]]
        variables = {
            "VLLM_RAY_BUNDLE_INDICES": ",".join(map(str, own)),
            "VLLM_RAY_PER_WORKER_GPUS": str(_HALF if shared else 1.0),
        }
        options = actor_options(self.serving, self.bundles.granted, {} if one_node else variables)
        if shared and one_node:
            options["num_gpus"] = _HALF
        options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(
            self.group, own[0], placement_group_capture_child_tasks=not one_node
        )
        return options

    def close(self) -> None:
        """Give it back; what lives there ends."""
        remove_placement_group(self.group)


def open_room(placement: Placement) -> Room:
    """Wait until there is room, and take it.

    Raises:
        RuntimeError: there is too little, or it does not lie as it must.
    """
    end = time.monotonic() + (_PATIENCE_S if os.environ.get("RAY_ADDRESS") else 0)
    while True:
        try:
            bundles = plan_bundles(placement, see_cluster())
            break
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(_POLL_S)
    group = placement_group(bundles.asked, strategy="PACK")
    if not group.wait(_PLACING_S):
        remove_placement_group(group)
        there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        raise RuntimeError(
            f"trainer and engines need {bundles.asked} in bundles, each on one node; Ray's nodes "
            f"have {there}: something else holds a part of them, or an engine finds no node"
        )
    nodes = placement_group_table(group)["bundles_to_node_id"]
    return Room(group, bundles, placement.serving, order_by_node(bundles.num_ranks, nodes))


def order_by_node(num_ranks: int, nodes: Mapping[int, str]) -> list[int]:
    """The ranks' bundles, those of a machine one after another; machines as they come."""
    first: dict[str, int] = {}
    for bundle in range(num_ranks):
        first.setdefault(nodes[bundle], bundle)
    return sorted(range(num_ranks), key=lambda bundle: (first[nodes[bundle]], bundle))


_own: Room | None = None


def live_in(room: Room) -> None:
    """From now on engines that this process starts for the room's placement live there."""
    global _own
    _own = room


def room_for(serving: Serving) -> Room | None:
    """Where this process' engines are to live, if it is a rank with room for them."""
    return _own if _own is not None and _own.serving == serving else None
