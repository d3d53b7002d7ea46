"""Pools: where tasks run. Locally all of them are this machine; on a cluster, node pools."""

import os
from typing import Any

import flyte
from flyteplugins.ray import RayJobConfig, WorkerNodeConfig

from infra.images import cpu_image, gpu_image

_SHARED = ("K2_STORE", "MLFLOW_TRACKING_URI", "K2_EXPERIMENT")
_ENV = {name: os.environ[name] for name in _SHARED if name in os.environ}
_GPUS: Any = os.environ.get("K2_GPU_POOL") or None
"""Accelerator of the GPU pools, e.g. `H100:8`; none: the pools are CPU nodes."""
_REPLICAS = int(os.environ.get("K2_GPU_NODES", "1"))
"""Nodes of the serving pool's Ray cluster, where there is a GPU pool."""


def ray_cluster() -> RayJobConfig | None:
    """A Ray cluster over the GPU nodes; without a GPU pool, engines start Ray themselves."""
    if not _GPUS:
        return None
    node = flyte.Resources(cpu=32, memory="500Gi", gpu=_GPUS)
    workers = WorkerNodeConfig("vllm", replicas=_REPLICAS, requests=node, limits=node)
    return RayJobConfig([workers], shutdown_after_job_finishes=True)


CPU = flyte.TaskEnvironment(
    "k2-cpu",
    image=cpu_image(),
    resources=flyte.Resources(cpu=(2, 8), memory=("8Gi", "32Gi")),
    env_vars=_ENV,
)
"""Data work, sandboxes, release."""

TRAIN = flyte.TaskEnvironment(
    "k2-train",
    image=gpu_image() if _GPUS else cpu_image(),
    resources=flyte.Resources(cpu=(2, 96), memory=("16Gi", "1000Gi"), gpu=_GPUS),
    env_vars=_ENV,
)
"""Megatron: pre-training and SFT."""

SERVE = flyte.TaskEnvironment(
    "k2-serve",
    image=gpu_image() if _GPUS else cpu_image(),
    resources=flyte.Resources(cpu=(2, 96), memory=("16Gi", "1000Gi"), gpu=_GPUS),
    env_vars=_ENV,
    plugin_config=ray_cluster(),
)
"""vLLM in Ray actors: rephrasing, RL (with Megatron beside it) and evaluation."""

DRIVER = flyte.TaskEnvironment(
    "k2",
    image=cpu_image(),
    resources=flyte.Resources(cpu=1, memory="4Gi"),
    env_vars=_ENV,
    depends_on=[CPU, TRAIN, SERVE],
)
"""The workflow itself."""

ENVIRONMENTS = (CPU, TRAIN, SERVE, DRIVER)
