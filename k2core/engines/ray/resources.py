"""What Ray gives each engine: GPUs where the cluster has them, in one machine or over several."""

from typing import TYPE_CHECKING, NamedTuple

import ray

from k2core.engines.ray.actors import python_path
from k2core.engines.ray.cluster import hold_cluster, release_cluster
from k2core.engines.vllm.environment import environment
from schemas.placement import Serving

if TYPE_CHECKING:
    from ray.util.placement_group import PlacementGroup


class Cluster(NamedTuple):
    """Accelerators that Ray knows of."""

    gpus: float
    most_in_a_node: float


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


def see_cluster() -> Cluster:
    """Of all nodes that are alive."""
    found = [node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["Alive"]]
    return Cluster(sum(found), max(found, default=0.0))


def grant(serving: Serving, cluster: Cluster) -> Grant:
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
    return Grant(gpu=True, one_node=serving.devices <= cluster.most_in_a_node)


def actor_options(serving: Serving, granted: Grant) -> dict[str, object]:
    """Of the process that an engine lives in.

    vLLM starts a process a device. Within a machine these are the actor's children, who share what
    it was granted; over several they are actors of their own, in the engine's placement group.
    """
    variables = environment(granted.gpu) | {"PYTHONPATH": python_path()}
    apart = not granted.one_node
    return {
        "num_cpus": 1 if apart else serving.devices,
        "num_gpus": serving.devices if granted.gpu and not apart else 0,
        "runtime_env": {"env_vars": variables},
    }


def group_of(serving: Serving) -> "PlacementGroup":
    """Room for an engine over several machines: the actor and its first device share a bundle."""
    from ray.util import placement_group

    bundles = [{"CPU": 2.0 if rank == 0 else 1.0, "GPU": 1.0} for rank in range(serving.devices)]
    return placement_group(bundles, strategy="PACK")
