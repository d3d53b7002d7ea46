"""What decides where a deployment runs, read from the environment and handed to every pod.

A driver pod imports the pools again and starts its children from what it finds there: whatever
decides a pool has to reach the pod, or the children run somewhere else than what was deployed.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple, get_args

import flyte
from flyte._resources import Accelerators, GPUType

CARRIED = (
    "K2_STORE",
    "MLFLOW_TRACKING_URI",
    "K2_EXPERIMENT",
    "K2_CODE_VERSION",
    "K2_MLFLOW_UI",
    "K2_FLYTE_UI",
    "K2_REGISTRY",
    "K2_GPU_POOL",
    "K2_GPU_NODES",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ALLOW_HTTP",
)
"""Variables that every pod gets as they are where `make deploy` runs; none of them is a secret."""

LOCAL_ONLY = {
    "K2_HOME": "this machine's folder of state; a pod's is its own",
    "K2_SIGNING_KEY": "a file of this machine, where releases are signed",
    "K2_IDENTITY_TOKEN": "who signs releases by Sigstore; a secret of this machine",
    "K2_NOTIFY": "`make deploy` writes it into the triggers",
    "K2_DEBUG": "`k2 --debug` on this machine shows tracebacks",
    "K2_VERIFY": "`k2 run --verify` on this machine hashes every cached file",
    "K2_MCP_VENV": "this machine's environment of MCP servers",
    "K2_WEB_DOCS": "a folder of this machine; the image has these pages where the config looks",
    "K2_RENDEZVOUS": "set by a trainer for the ranks that it starts",
}
"""Variables that a pod must not get, and why."""
KINDS = tuple(kind for kind in get_args(GPUType) if " " not in kind)
"""Accelerators that Flyte knows by name, shared ones aside."""


class Nodes(NamedTuple):
    """Nodes of each GPU pool."""

    train: int
    """Ranks of pre-training and SFT."""
    rl: int
    """Trainer and engines of one Ray job."""
    serve: int
    """Engines for rephrasing and evaluation."""


class Cluster(NamedTuple):
    """GPU nodes, and where images come from."""

    gpu: flyte.Device | int | None
    """What a node has: accelerators, or a number of any kind; None: there are no GPUs."""
    gpus_per_node: int
    nodes: Nodes
    registry: str | None
    """Prefix of the images' names, e.g. `registry.example/team`."""


def read_cluster(environ: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that `K2_GPU_POOL`, `K2_GPU_NODES` and `K2_REGISTRY` describe.

    Raises:
        ValueError: a variable cannot be read; says which, and what would be right.
    """
    pool = environ.get("K2_GPU_POOL", "").strip()
    nodes = _read_nodes(environ.get("K2_GPU_NODES", "").strip() or "1")
    registry = environ.get("K2_REGISTRY", "").strip().rstrip("/") or None
    if not pool:
        if nodes != Nodes(1, 1, 1):
            raise ValueError(
                "K2_GPU_NODES is set and K2_GPU_POOL is not: say what a node has, e.g. H100:8"
            )
        return Cluster(None, 0, nodes, registry)
    kind, _, number = pool.rpartition(":")
    known = not kind or (kind in KINDS and pool in get_args(Accelerators))
    if not number.isdigit() or int(number) == 0 or not known:
        raise ValueError(
            f"K2_GPU_POOL={pool!r}: give what a node has as accelerator and number, e.g. H100:8, "
            f"or the number alone for any kind. Flyte knows {', '.join(KINDS)}"
        )
    gpus = flyte.Device(int(number), "GPU", kind) if kind else int(number)
    return Cluster(gpus, int(number), nodes, registry)


def carried(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What every pod gets: the set ones of `CARRIED`."""
    return {name: environ[name] for name in CARRIED if environ.get(name)}


def _read_nodes(text: str) -> Nodes:
    if text.isdigit() and int(text) > 0:
        return Nodes(*[int(text)] * len(Nodes._fields))
    pairs = [part.partition("=") for part in text.split(",")]
    found = {name.strip(): number.strip() for name, _, number in pairs}
    if found.keys() - set(Nodes._fields) or not all(
        number.isdigit() and int(number) > 0 for number in found.values()
    ):
        raise ValueError(
            f"K2_GPU_NODES={text!r}: give a number of nodes for all GPU pools, e.g. 4, or one a "
            f"pool ({', '.join(Nodes._fields)}), e.g. train=64,rl=16,serve=2"
        )
    return Nodes(*(int(found.get(name, "1")) for name in Nodes._fields))
