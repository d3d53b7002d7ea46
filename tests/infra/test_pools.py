"""What each pool is on a cluster: without GPUs, on one node and on four, field by field."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import flyte
import pytest

from infra.home import ROOT
from infra.pools import RETRIES
from schemas.recipe import STAGES
from workflows.stages import task_of

Json: TypeAlias = dict[str, Any]

PLACES = {
    "K2_STORE": "memory://k2",  # not one that serialising would have to reach
    "MLFLOW_TRACKING_URI": "http://mlflow.k2-development:5000",
    "K2_CODE_VERSION": "abc",
    "K2_REGISTRY": "registry.example/team",
}
NO_GPUS: dict[str, str] = {}
ONE_NODE = PLACES | {"K2_GPU_POOL": "H100:8"}
FOUR_NODES = PLACES | {"K2_GPU_POOL": "A100_80G:4", "K2_GPU_NODES": "4"}
UNEQUAL = PLACES | {"K2_GPU_POOL": "8", "K2_GPU_NODES": "train=64, rl=16"}
CONFIGURATIONS = (NO_GPUS, ONE_NODE, FOUR_NODES, UNEQUAL)
POOLS = {
    **dict.fromkeys(("ingest", "clean", "adopt", "tokenize", "synthesize", "release"), "k2-cpu"),
    **dict.fromkeys(("pretrain", "sft"), "k2-train"),
    **dict.fromkeys(("rephrase", "evaluate"), "k2-serve"),
    "rl": "k2-rl",
}
GPU_STAGES = [stage for stage, pool in POOLS.items() if pool != "k2-cpu"]
ENGINE_STAGES = [stage for stage in GPU_STAGES if POOLS[stage] != "k2-train"]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    """For each of `CONFIGURATIONS`: all specifications, as deployed and as in the driver's pod."""
    program = Path(__file__).with_name("describe_pools.py")
    done = subprocess.run(
        [sys.executable, program],
        input=json.dumps(CONFIGURATIONS),
        env={**os.environ, "K2_HOME": str(tmp_path_factory.mktemp("home"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[Json] = json.loads(done.stdout)
    return answers


def spec_of(described: list[Json], variables: dict[str, str], stage: str) -> Json:
    spec: Json = described[CONFIGURATIONS.index(variables)]["deployed"]["specs"][stage]
    return spec


def pod_of(spec: Json) -> Json:
    pod: Json = spec["k8sPod"]["podSpec"]
    return pod


def container_of(pod: Json) -> Json:
    (container,) = pod["containers"]
    assert isinstance(container, dict)
    return container


def group_of(spec: Json, name: str) -> Json:
    groups = spec["custom"]["rayCluster"]["workerGroupSpec"]
    (group,) = (g for g in groups if g["groupName"] == name)
    assert isinstance(group, dict)
    return group


def pods_of(spec: Json) -> Iterator[Json]:
    """Every pod that a task becomes."""
    yield pod_of(spec)
    cluster = spec.get("custom", {}).get("rayCluster")
    if cluster:
        yield cluster["headGroupSpec"]["k8sPod"]["podSpec"]
        yield from (group["k8sPod"]["podSpec"] for group in cluster["workerGroupSpec"])


@pytest.mark.parametrize("index", range(len(CONFIGURATIONS)))
def test_a_driver_pod_places_its_children_as_they_were_deployed(
    described: list[Json], index: int
) -> None:
    answer = described[index]
    assert answer["in_driver"] == answer["deployed"]
    assert answer["deployed"]["driver"] == CONFIGURATIONS[index]


@pytest.mark.parametrize("variables", CONFIGURATIONS)
def test_what_decides_reaches_every_pod(described: list[Json], variables: dict[str, str]) -> None:
    for stage in (*STAGES, "k2"):
        env = container_of(pod_of(spec_of(described, variables, stage))).get("env", [])
        assert {e["name"]: e["value"] for e in env if "K2" in e["name"] or "ML" in e["name"]} == (
            variables
        )


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_in_its_pool_and_on_its_image(described: list[Json], stage: str) -> None:
    assert spec_of(described, NO_GPUS, stage)["id"]["name"] == f"{POOLS[stage]}.{stage}"
    for variables in CONFIGURATIONS:
        image = container_of(pod_of(spec_of(described, variables, stage)))["image"]
        gpu = "K2_GPU_POOL" in variables and stage in GPU_STAGES
        registry = "registry.example/team/" if variables else ""
        assert image.startswith(f"{registry}k2-gpu:" if gpu else f"{registry}k2-cpu:")


@pytest.mark.parametrize(("variables", "nodes"), [(ONE_NODE, 1), (FOUR_NODES, 4), (UNEQUAL, 64)])
@pytest.mark.parametrize("stage", ["pretrain", "sft"])
def test_training_is_a_set_of_pods_with_a_rank_a_gpu(
    described: list[Json], variables: dict[str, str], nodes: int, stage: str
) -> None:
    spec, gpus = spec_of(described, variables, stage), 4 if variables is FOUR_NODES else 8
    assert spec["type"] == "clustered-task"
    assert spec["custom"] == {
        "replicas": nodes,
        "nprocPerNode": gpus,
        "runtime": {"torchrun": {}},  # static rendezvous, no restarts inside a pod
        "failurePolicy": {"maxRestarts": 20, "restartOnHostMaintenance": True},
        "ttlSecondsAfterFinished": 3600,
    }
    pod = pod_of(spec)
    asked = container_of(pod)["resources"]
    limits = {"cpu": str(11 * gpus), "memory": f"{200 * gpus}Gi", "nvidia.com/gpu": str(gpus)}
    assert asked == {"limits": limits, "requests": {**limits, "gpu": str(gpus)}}
    assert container_of(pod)["args"][0] == "clustered"
    assert pod["nodeSelector"] == {"k2.pool": "gpu"}
    assert spec["k8sPod"]["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "k2"
    accelerator = spec.get("extendedResources", {}).get("gpuAccelerator", {}).get("device")
    assert accelerator == {8: "nvidia-tesla-h100", 4: "nvidia-a100-80gb"}.get(
        gpus if variables is not UNEQUAL else 0
    )


@pytest.mark.parametrize(
    ("variables", "nodes"),
    [(ONE_NODE, (1, 1)), (FOUR_NODES, (4, 4)), (UNEQUAL, (16, 1))],
)
@pytest.mark.parametrize("stage", ENGINE_STAGES)
def test_engines_are_a_ray_job_over_whole_gpu_nodes(
    described: list[Json], variables: dict[str, str], nodes: tuple[int, int], stage: str
) -> None:
    spec = spec_of(described, variables, stage)
    assert spec["type"] == "ray"
    workers = group_of(spec, "gpu")
    assert workers["replicas"] == nodes[0 if stage == "rl" else 1]
    gpus = 4 if variables is FOUR_NODES else 8
    whole = {"cpu": 11 * gpus, "memory": f"{200 * gpus}Gi", "nvidia.com/gpu": str(gpus)}
    pod = workers["k8sPod"]["podSpec"]
    assert container_of(pod)["resources"] == {"limits": whole, "requests": whole}
    assert pod["nodeSelector"] == {"k2.pool": "gpu"}
    # The head, which Flyte starts from the task's own pod, has no GPU and takes no work.
    head = container_of(pod_of(spec))["resources"]
    assert head["limits"] == head["requests"] == {"cpu": "8", "memory": "64Gi"}
    assert spec["custom"]["rayCluster"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["custom"]["shutdownAfterJobFinishes"] is True
    assert {"name": "RAY_AUTH_MODE", "value": "token"} in container_of(pod_of(spec))["env"]


@pytest.mark.parametrize("stage", ENGINE_STAGES)
def test_model_written_code_runs_in_a_sandbox_without_secrets(
    described: list[Json], stage: str
) -> None:
    spec = spec_of(described, ONE_NODE, stage)
    group = group_of(spec, "sandbox")
    pod = group["k8sPod"]["podSpec"]
    assert group["rayStartParams"] == {"num-cpus": "0", "resources": '"{\\"sandbox\\": 8}"'}
    assert group["k8sPod"]["metadata"]["labels"]["k2.pool"] == "sandbox"
    assert pod["runtimeClassName"] == "gvisor"
    assert pod["hostUsers"] is pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == "k2-sandbox"
    assert container_of(pod)["securityContext"]["readOnlyRootFilesystem"] is True
    assert {"cpu", "memory", "ephemeral-storage"} <= container_of(pod)["resources"]["limits"].keys()
    assert all(v["emptyDir"]["medium"] == "Memory" for v in pod["volumes"])
    # Its pod is laid over the task's own: neither may bring a secret.
    for layer in (pod, pod_of(spec)):
        assert "envFrom" not in container_of(layer)
        assert not any("valueFrom" in e for e in container_of(layer).get("env", []))
    # Merged by name, lists are joined: one name twice would be refused.
    assert not pod_of(spec).get("volumes")


@pytest.mark.parametrize("variables", CONFIGURATIONS)
@pytest.mark.parametrize("stage", STAGES)
def test_every_pod_is_an_ordinary_users_and_has_room_to_share_memory(
    described: list[Json], variables: dict[str, str], stage: str
) -> None:
    for pod in pods_of(spec_of(described, variables, stage)):
        context, container = pod["securityContext"], container_of(pod)
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == 1000  # `flyte` of the images, who owns the bundle's folder
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert pod["nodeSelector"].keys() == {"k2.pool"}
        mounts = {m["mountPath"] for m in container.get("volumeMounts", [])}
        if pod["nodeSelector"]["k2.pool"] == "gpu":
            assert "/dev/shm" in mounts
            assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
        assert len(mounts) == len(pod.get("volumes", []))


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_retried_and_bounded(described: list[Json], stage: str) -> None:
    for variables in CONFIGURATIONS:
        metadata = spec_of(described, variables, stage)["metadata"]
        assert metadata["retries"] == {
            "retries": 3,
            "backoff": {"base": "60s", "factor": 4, "cap": "900s"},
        }
        assert 43_200 <= int(metadata["timeout"].rstrip("s")) <= 120 * 86_400
        assert metadata["timeouts"] == {"queuedTimeout": f"{3 * 86_400}s"}
        # A node that may go at any time suits what loses little: not a gang, not the driver.
        assert metadata["interruptible"] is (POOLS[stage] == "k2-cpu")
    assert spec_of(described, ONE_NODE, "k2")["metadata"]["interruptible"] is False


def test_nothing_is_retried_on_this_machine() -> None:
    from workflows.chain import tried

    assert all(task_of(stage).retries == RETRIES for stage in STAGES)
    assert all(tried(task_of(stage)).retries == flyte.RetryStrategy(0) for stage in STAGES)


def test_looking_at_the_pools_imports_no_engine() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import infra.pools, sys; print(*sys.modules)"],
        env={k: v for k, v in os.environ.items() if not k.startswith("K2_")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"ray", "torch", "vllm", "megatron", "kubernetes", "mlflow"} & set(found)
