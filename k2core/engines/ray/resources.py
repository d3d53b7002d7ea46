"""What Ray gives each engine: GPUs where the cluster has them, in one machine or over several."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import ray

from k2core.engines.ray.actors import python_path
from k2core.engines.ray.cluster import hold_cluster, release_cluster
from k2core.engines.vllm.environment import environment
from schemas.placement import Serving

if TYPE_CHECKING:
    from ray.util.placement_group import PlacementGroup


class Accelerators(NamedTuple):
    """What Ray knows of."""

    gpus: float
    most_in_a_node: float
    """GPUs."""
    cpus: float = 0.0


class Grant(NamedTuple):
    """What an engine gets."""

    gpu: bool
    one_node: bool
    """All of its devices are in one machine, and in its own process's sight."""


def accelerated() -> bool:
    """Whether engines would get GPUs, seen before any is started."""
    hold_cluster(0)
    try:
        return bool(see_cluster().gpus)
    finally:
        release_cluster()


def see_cluster() -> Accelerators:
    """Of all nodes that are alive."""
    found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus, cpus = ([one.get(what, 0.0) for one in found] for what in ("GPU", "CPU"))
    return Accelerators(sum(gpus), max(gpus, default=0.0), sum(cpus))


def grant(serving: Serving, cluster: Accelerators) -> Grant:
    """CPU cores where there is no GPU at all.

    Raises:
        RuntimeError: there are GPUs, and too few: on cores the engines would crawl.
    """
    if not cluster.gpus:
        return Grant(gpu=False, one_node=True)
    needed = serving.num_engines * serving.devices
    if needed > cluster.gpus:
        raise RuntimeError(
            f"{serving.num_engines} engines of {serving.devices} GPUs need {needed}, and Ray's "
            f"cluster has {cluster.gpus:.0f}: lower placement.serving.num_engines, tp or pp"
        )
    return Grant(gpu=True, one_node=is_one_node(serving, cluster, gpu=True))


def is_one_node(serving: Serving, cluster: Accelerators, *, gpu: bool) -> bool:
    """Whether all devices of an engine are in one machine."""
    return not gpu or serving.devices <= cluster.most_in_a_node


def actor_options(
    serving: Serving, granted: Grant, variables: Mapping[str, str] = MappingProxyType({})
) -> dict[str, object]:
    """Of the process that an engine lives in.

    vLLM starts a process a device. Within a machine these are the actor's children, who share what
    it was granted; over several they are actors of their own, in the engine's placement group.

    Args:
        serving: of the engine.
        granted: what it gets.
        variables: of its environment, besides what vLLM always needs.
    """
    wanted = environment(granted.gpu) | {"PYTHONPATH": python_path(), **variables}
    apart = not granted.one_node
    return {
        "num_cpus": 1 if apart else serving.devices,
        "num_gpus": serving.devices if granted.gpu and not apart else 0,
        "runtime_env": {"env_vars": wanted},
    }


def engine_bundles(serving: Serving, *, gpu: bool, one_node: bool) -> list[dict[str, float]]:
    """Room for an engine: over several machines its process and first device share a bundle."""
    device = {"GPU": 1.0} if gpu else {}
    if one_node:
        return [{name: serving.devices * one for name, one in {"CPU": 1.0, **device}.items()}]
    return [{"CPU": 2.0 if n == 0 else 1.0, **device} for n in range(serving.devices)]


def group_of(serving: Serving) -> "PlacementGroup":
    """Room for an engine over several machines, alone."""
    from ray.util import placement_group

    return placement_group(engine_bundles(serving, gpu=True, one_node=False), strategy="PACK")
