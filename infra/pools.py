"""Pools: where tasks run. Locally all of them are this machine; on a cluster, pods.

A driver pod imports this module again, so all that decides here is in `infra.cluster.CARRIED`.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

import flyte

from infra.cluster import carried, read_cluster
from infra.images import cpu_image, gpu_image
from infra.pods import PoolTemplate

if TYPE_CHECKING:
    from flyteplugins.ray import RayJobConfig

_CLUSTER = read_cluster()
_ENV = carried()

_CPU_PER_GPU = 11
_GIB_PER_GPU = 200
"""A GPU's share of a node that has eight, 96 or more cores and 1.7 TiB: adapt both to yours."""
_SANDBOX_PODS = 2
_SANDBOX_SLOTS = 8
"""Programs that a sandbox pod judges at a time; each is a unit of Ray's resource `sandbox`."""

RETRIES = flyte.RetryStrategy(
    3, flyte.Backoff(timedelta(minutes=1), factor=4, cap=timedelta(minutes=15))
)
"""On a cluster a stage that failed is tried again, and goes on where it was; here it fails at once
(`workflows.chain`)."""


def within(**runtime: int) -> flyte.Timeout:
    """A stage's bounds: `within(hours=12)` for an attempt, and three days of waiting for nodes."""
    return flyte.Timeout(max_runtime=timedelta(**runtime), max_queued_time=timedelta(days=3))


def _pool(name: str) -> str:
    """An environment's pool, as network policies know it."""
    return {"k2": "driver"}.get(name, name.removeprefix("k2-"))


def _node() -> flyte.Resources:
    """A GPU node, whole."""
    share = _CLUSTER.gpus_per_node
    return flyte.Resources(share * _CPU_PER_GPU, f"{share * _GIB_PER_GPU}Gi", gpu=_CLUSTER.gpu)


def _guaranteed(cpu: int, gib: int, gpu: flyte.Device | int | None = None) -> flyte.Resources:
    """With limits equal to requests: such a pod is not evicted for a neighbour."""
    return flyte.Resources((cpu, cpu), (f"{gib}Gi", f"{gib}Gi"), gpu=gpu)


def _on_cpus(
    name: str, resources: flyte.Resources, interruptible: bool = False
) -> flyte.TaskEnvironment:
    return flyte.TaskEnvironment(
        name,
        image=cpu_image(_CLUSTER.registry),
        resources=resources,
        env_vars=_ENV,
        pod_template=PoolTemplate("cpu", _pool(name)),
        interruptible=interruptible,
    )


def _with_ranks(name: str) -> flyte.TaskEnvironment:
    """A rank a GPU, torchrun on every node; without a GPU pool, a pod that starts ranks itself."""
    if not _CLUSTER.gpu:
        return _on_cpus(name, flyte.Resources((4, 16), ("16Gi", "64Gi")))
    from flyte.clustered import ClusteredTaskEnvironment, ClusterFailurePolicy, TorchRun

    share = _CLUSTER.gpus_per_node
    return ClusteredTaskEnvironment(
        name=name,
        image=gpu_image(_CLUSTER.registry),
        resources=_guaranteed(share * _CPU_PER_GPU, share * _GIB_PER_GPU, _CLUSTER.gpu),
        env_vars=_ENV,
        pod_template=PoolTemplate("ranks", _pool(name), num_gpus=share),
        replicas=_CLUSTER.nodes.train,
        nproc_per_node=share,
        # A lost rank ends them all, and the whole set starts again from the last state: what
        # torchrun has for rejoining in place deadlocked when a host went (docs/log.md).
        runtime=TorchRun(rdzv_backend="static"),
        failure_policy=ClusterFailurePolicy(max_restarts=20, restart_on_host_maintenance=True),
        ttl_seconds_after_finished=3600,
    )


def _with_engines(name: str, nodes: int) -> flyte.TaskEnvironment:
    """A Ray job: the stage on its head, engines (and trainer) on GPU nodes, a sandbox beside.

    Without a GPU pool, a pod in which the engines start Ray themselves.
    """
    pool = _pool(name)
    if not _CLUSTER.gpu:
        return _on_cpus(name, flyte.Resources((4, 16), ("16Gi", "64Gi")))
    return flyte.TaskEnvironment(
        name,
        image=gpu_image(_CLUSTER.registry),
        # Of the head: Ray's other pods state their own, and would inherit GPUs from here.
        resources=_guaranteed(8, 64),
        env_vars=_ENV,
        pod_template=PoolTemplate("ray", pool),
        plugin_config=_ray_job(pool, nodes),
    )


def _ray_job(pool: str, nodes: int) -> "RayJobConfig":
    from flyteplugins.ray import HeadNodeConfig, RayJobConfig, WorkerNodeConfig

    node, sandbox = _node(), flyte.Resources(_SANDBOX_SLOTS, "16Gi", disk="4Gi")
    slots = f'"{{\\"sandbox\\": {_SANDBOX_SLOTS}}}"'
    return RayJobConfig(
        [
            WorkerNodeConfig(
                "gpu",
                replicas=nodes,
                pod_template=PoolTemplate("ray-worker", pool, "ray-worker"),
                requests=node,
                limits=node,
            ),
            WorkerNodeConfig(
                "sandbox",
                replicas=_SANDBOX_PODS,
                # Nothing lands here but what asks for `sandbox`.
                ray_start_params={"num-cpus": "0", "resources": slots},
                pod_template=PoolTemplate("sandbox", pool, "ray-worker"),
                requests=sandbox,
                limits=sandbox,
            ),
        ],
        head_node_config=HeadNodeConfig(
            ray_start_params={"num-cpus": "0", "num-gpus": "0"},
            pod_template=PoolTemplate("ray-head", pool, "ray-head"),
        ),
        shutdown_after_job_finishes=True,
    )


CPU = _on_cpus("k2-cpu", flyte.Resources((2, 8), ("8Gi", "32Gi")), interruptible=True)
"""Text, problems and their judging, release."""

TRAIN = _with_ranks("k2-train")
"""Megatron: pre-training and SFT."""

RL = _with_engines("k2-rl", _CLUSTER.nodes.rl)
"""Megatron and vLLM in one Ray job."""

SERVE = _with_engines("k2-serve", _CLUSTER.nodes.serve)
"""vLLM in Ray actors: rephrasing and evaluation."""

DRIVER = _on_cpus("k2", _guaranteed(1, 4))
"""The workflow itself: small, and nobody's to evict."""
DRIVER.add_dependency(CPU, TRAIN, RL, SERVE)

ENVIRONMENTS = (CPU, TRAIN, RL, SERVE, DRIVER)
