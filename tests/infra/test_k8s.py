"""The manifests, and the pods that tasks bring: what they may do, and who may speak to whom."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import kubernetes_validate
import pytest
import yaml
from kubernetes.client import ApiClient

from infra.home import ROOT
from infra.pods import _ROLES, QUEUE, PoolTemplate, Role

Manifest: TypeAlias = dict[str, Any]
Labels: TypeAlias = dict[str, str]

FOLDER = ROOT / "infra" / "k8s"
FILES = sorted(p for p in FOLDER.glob("*.yaml") if p.name != "kustomization.yaml")
VERSION = kubernetes_validate.latest_version()


def read(path: Path) -> list[Manifest]:
    return [m for m in yaml.safe_load_all(path.read_text()) if m is not None]


MANIFESTS = {f"{m['kind']} {m['metadata']['name']}": m for path in FILES for m in read(path)}
POLICIES = [m["spec"] for m in MANIFESTS.values() if m["kind"] == "NetworkPolicy"]
KUEUE = [name for name, m in MANIFESTS.items() if m["apiVersion"].startswith("kueue")]


def task_pod(role: Role, pool: str) -> Manifest:
    """Metadata and specification of a task's pod, as Flyte is told."""
    template = PoolTemplate(role, pool, num_gpus=8 if role == "ranks" else 0)
    spec = ApiClient().sanitize_for_serialization(template.pod_spec)
    return {"metadata": {"labels": template.labels}, "spec": spec}


def pods() -> Iterator[tuple[str, Manifest]]:
    for role in _ROLES:
        yield role, task_pod(role, {"cpu": "cpu", "ranks": "train"}.get(role, "rl"))
    for name, manifest in MANIFESTS.items():
        if "template" in manifest.get("spec", {}):
            yield name, manifest["spec"]["template"]


PODS = dict(pods())


def validate(manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


@pytest.mark.parametrize("name", [name for name in MANIFESTS if name not in KUEUE])
def test_a_manifest_matches_the_schema_of_kubernetes(name: str) -> None:
    validate(MANIFESTS[name])
    assert MANIFESTS[name]["metadata"]["name"]


@pytest.mark.parametrize("role", _ROLES)
def test_the_pods_of_tasks_match_it_too(role: str) -> None:
    template = PODS[role]
    # Flyte fills in the image.
    assert "image" not in template["spec"]["containers"][0]
    validate({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {}, "template": template})


def test_the_schema_refuses_a_misspelt_field() -> None:
    wrong = yaml.safe_load(yaml.safe_dump(MANIFESTS["Deployment mlflow"]))
    wrong["spec"]["template"]["spec"]["automountServiceAccountTokens"] = False
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(wrong)


def test_kustomize_applies_every_file_and_names_every_image() -> None:
    kustomization = read(FOLDER / "kustomization.yaml")[0]
    assert sorted(kustomization["resources"]) == [path.name for path in FILES]
    containers = [c for pod in PODS.values() for c in pod["spec"]["containers"]]
    used = {c["image"] for c in containers if "image" in c}
    assert {image["name"] for image in kustomization["images"]} == used
    assert f"Namespace {kustomization['namespace']}" in MANIFESTS


@pytest.mark.parametrize("name", PODS)
def test_no_pod_runs_as_root_or_gains_privileges(name: str) -> None:
    spec = PODS[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["automountServiceAccountToken"] is spec["enableServiceLinks"] is False
    # What the namespace enforces (`baseline`) would refuse the pod.
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert not any("hostPath" in volume for volume in spec.get("volumes", []))
    assert spec["securityContext"].get("seccompProfile", {}).get("type") != "Unconfined"
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context


@pytest.mark.parametrize("name", PODS)
def test_volumes_that_are_mounted_exist(name: str) -> None:
    spec = PODS[name]["spec"]
    mounted = {v["name"] for c in spec["containers"] for v in c.get("volumeMounts", [])}
    assert mounted == {v["name"] for v in spec.get("volumes", [])}


@pytest.mark.parametrize("name", PODS)
def test_no_secret_stands_in_a_manifest(name: str) -> None:
    for container in PODS[name]["spec"]["containers"]:
        for variable in container.get("env", []):
            plain = variable.get("value", "")
            assert "@" not in plain
            secret = any(word in variable["name"] for word in ("PASSWORD", "SECRET", "_KEY", "URI"))
            assert not secret or "secretKeyRef" in variable["valueFrom"]
    assert not [m for m in MANIFESTS.values() if m["kind"] == "Secret"]


def test_what_pods_name_is_there() -> None:
    sandbox = PODS["sandbox"]["spec"]
    assert f"RuntimeClass {sandbox['runtimeClassName']}" in MANIFESTS
    assert f"ServiceAccount {sandbox['serviceAccountName']}" in MANIFESTS
    assert MANIFESTS[f"LocalQueue {QUEUE}"]["spec"]["clusterQueue"] == "k2"
    flavors = MANIFESTS["ClusterQueue k2"]["spec"]["resourceGroups"][0]["flavors"]
    assert all(f"ResourceFlavor {flavor['name']}" in MANIFESTS for flavor in flavors)


def test_every_ray_job_gets_a_token_and_there_is_no_other_ray() -> None:
    policy = MANIFESTS["MutatingAdmissionPolicy k2-ray-token"]["spec"]
    assert policy["matchConstraints"]["resourceRules"][0]["resources"] == ["rayjobs"]
    assert "CREATE" in policy["matchConstraints"]["resourceRules"][0]["operations"]
    assert policy["failurePolicy"] == "Fail"
    expression = policy["mutations"][0]["applyConfiguration"]["expression"]
    assert 'authOptions{mode: "token"}' in expression
    binding = MANIFESTS["MutatingAdmissionPolicyBinding k2-ray-token"]["spec"]
    assert f"MutatingAdmissionPolicy {binding['policyName']}" in MANIFESTS
    assert not [name for name in MANIFESTS if name.startswith("Ray")]
    assert "dashboard-host" not in "".join(path.read_text() for path in FILES)


def test_mlflow_asks_for_a_password_and_keeps_nothing_in_its_pod() -> None:
    spec = PODS["Deployment mlflow"]["spec"]
    (container,) = spec["containers"]
    assert container["command"] == ["mlflow", "server"]
    assert "--app-name=basic-auth" in container["args"]
    assert not [a for a in container["args"] if "sqlite" in a or "://" in a]
    by_name = {v["name"]: v for v in container["env"]}
    for name in ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION"):
        assert by_name[name]["valueFrom"]["secretKeyRef"]["name"] == "mlflow"
    assert not [m for m in MANIFESTS.values() if m["kind"] == "PersistentVolumeClaim"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    service = MANIFESTS["Service mlflow"]["spec"]
    labels = PODS["Deployment mlflow"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    assert service.get("type", "ClusterIP") == "ClusterIP"


def chosen(selector: Manifest, labels: Labels) -> bool:
    """Whether a label selector takes a pod."""
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    among = all(
        labels.get(e["key"]) in e["values"]
        for e in selector.get("matchExpressions", [])
        if e["operator"] == "In"
    )
    return exact and among


def allows(rules: list[Manifest], side: str, peer: Labels, space: str, port: int) -> bool:
    """Whether a rule lets a peer (labels in a namespace; none: outside the cluster) through."""
    for rule in rules:
        ports = [p["port"] for p in rule.get("ports", [])]
        if ports and port not in ports:
            continue
        for other in rule[side]:
            if "ipBlock" in other and space == "outside":
                return True
            named = other.get("namespaceSelector", {}).get("matchLabels", {})
            wanted = named.get("kubernetes.io/metadata.name", "k2-development")
            inside = "ipBlock" not in other and wanted == space
            if inside and chosen(other.get("podSelector", {}), peer):
                return True
    return False


def may_speak(source: Labels, space: str, target: Labels, target_space: str, port: int) -> bool:
    """What the policies together say of a connection; a pod that none chooses may do anything."""
    out = [p for p in POLICIES if chosen(p["podSelector"], source) and "Egress" in p["policyTypes"]]
    back = [
        p for p in POLICIES if chosen(p["podSelector"], target) and "Ingress" in p["policyTypes"]
    ]
    sends = (
        space != "k2-development"
        or not out
        or any(allows(p.get("egress", []), "to", target, target_space, port) for p in out)
    )
    takes = (
        target_space != "k2-development"
        or not back
        or any(allows(p.get("ingress", []), "from", source, space, port) for p in back)
    )
    return sends and takes


HERE = "k2-development"
KNOWN: dict[str, tuple[Labels, str]] = {
    "driver": ({"k2.pool": "driver"}, HERE),
    "cpu": ({"k2.pool": "cpu"}, HERE),
    "train": ({"k2.pool": "train"}, HERE),
    "rl": ({"k2.pool": "rl", "k2.ray": "rl"}, HERE),
    "rl sandbox": ({"k2.pool": "sandbox", "k2.ray": "rl"}, HERE),
    "serve": ({"k2.pool": "serve", "k2.ray": "serve"}, HERE),
    "mlflow": ({"app": "mlflow"}, HERE),
    "stranger": ({"app": "stranger"}, HERE),
    "neighbour": ({"app": "web"}, "default"),
    "kuberay": ({"app.kubernetes.io/name": "kuberay-operator"}, "kuberay-system"),
    "dns": ({"k8s-app": "kube-dns"}, "kube-system"),
    "flyte": ({}, "flyte"),
    "store": ({}, "outside"),
}
ALLOWED = {
    ("train", "train", 29500), ("train", "train", 41234), ("train", "mlflow", 5000),
    ("rl", "rl", 6379), ("rl", "rl sandbox", 41234), ("rl sandbox", "rl", 6379),
    ("rl", "mlflow", 5000), ("serve", "serve", 8265), ("kuberay", "rl", 8265),
    ("cpu", "mlflow", 5000), ("driver", "flyte", 8080), ("cpu", "store", 443),
    ("rl", "store", 443), ("train", "dns", 53), ("rl sandbox", "dns", 53),
    ("mlflow", "store", 5432),
}  # fmt: skip
DENIED = {
    # The dashboard with its job API, Ray's own ports and client: for nobody else.
    ("neighbour", "rl", 8265), ("stranger", "rl", 8265), ("cpu", "rl", 8265),
    ("serve", "rl", 6379), ("train", "rl", 10001), ("kuberay", "rl", 6379),
    ("kuberay", "rl sandbox", 8265), ("neighbour", "train", 29500), ("cpu", "train", 29500),
    # MLflow: for tasks alone.
    ("neighbour", "mlflow", 5000), ("stranger", "mlflow", 5000), ("rl sandbox", "mlflow", 5000),
    # A sandbox: its Ray job and names, nothing else.
    ("rl sandbox", "store", 443), ("rl sandbox", "flyte", 8080), ("rl sandbox", "serve", 6379),
    ("neighbour", "rl sandbox", 22), ("stranger", "store", 443), ("mlflow", "rl", 8265),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(ALLOWED | DENIED))
def test_who_may_speak_to_whom(case: tuple[str, str, int]) -> None:
    source, target, port = case
    assert may_speak(*KNOWN[source], *KNOWN[target], port) is (case in ALLOWED)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_takes_and_sends_only_what_a_policy_allows(name: str) -> None:
    labels = PODS[name]["metadata"]["labels"]
    kinds = {k for p in POLICIES if chosen(p["podSelector"], labels) for k in p["policyTypes"]}
    assert kinds == {"Ingress", "Egress"}
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in POLICIES


def test_no_pod_reaches_a_nodes_metadata() -> None:
    rules = [rule for p in POLICIES for rule in p.get("egress", [])]
    blocks = [peer["ipBlock"] for rule in rules for peer in rule["to"] if "ipBlock" in peer]
    assert blocks
    assert all(block["except"] == ["169.254.0.0/16"] for block in blocks)
