from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from infra.home import ROOT
from infra.pools import DRIVER, ENVIRONMENTS

FOLDER = ROOT / "infra" / "k8s"
FILES = sorted(p for p in FOLDER.glob("*.yaml") if p.name != "kustomization.yaml")
VERSION = kubernetes_validate.latest_version()
Manifest = dict[str, Any]


def read(path: Path) -> list[Manifest]:
    return [m for m in yaml.safe_load_all(path.read_text()) if m is not None]


MANIFESTS = {f"{m['kind']} {m['metadata']['name']}": m for path in FILES for m in read(path)}


def ray_groups() -> dict[str, Manifest]:
    spec = MANIFESTS["RayCluster k2"]["spec"]
    workers = {group["groupName"]: group["template"] for group in spec["workerGroupSpecs"]}
    return {"head": spec["headGroupSpec"]["template"]} | workers


def pods() -> Iterator[tuple[str, Manifest]]:
    """Name -> pod template (metadata and spec) of everything that starts pods."""
    for name, manifest in MANIFESTS.items():
        if manifest["kind"] == "PodTemplate":
            yield name, manifest["template"]
        elif manifest["kind"] == "Deployment":
            yield name, manifest["spec"]["template"]
    for name, template in ray_groups().items():
        yield f"RayCluster {name}", template


PODS = dict(pods())


def fault_of(manifest: Manifest) -> str:
    """What the schema of Kubernetes says against it."""
    try:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    return ""


@pytest.mark.parametrize("name", [n for n, m in MANIFESTS.items() if m["kind"] != "RayCluster"])
def test_a_manifest_matches_the_schema_of_kubernetes(name: str) -> None:
    assert fault_of(MANIFESTS[name]) == ""


@pytest.mark.parametrize("group", ["head", "rollout", "sandbox"])
def test_the_pods_of_the_ray_cluster_match_it_too(group: str) -> None:
    template = ray_groups()[group]
    pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {}, "template": template}
    assert fault_of(pod) == ""


def test_the_schema_refuses_a_misspelt_field() -> None:
    wrong = yaml.safe_load(yaml.safe_dump(MANIFESTS["Deployment mlflow"]))
    wrong["spec"]["template"]["spec"]["automountServiceAccountTokens"] = False
    assert "automountServiceAccountTokens" in fault_of(wrong)


def test_kustomize_applies_every_file_and_names_every_image() -> None:
    kustomization = read(FOLDER / "kustomization.yaml")[0]
    assert sorted(kustomization["resources"]) == [path.name for path in FILES]
    used = {c["image"] for pod in PODS.values() for c in pod["spec"]["containers"]}
    assert {image["name"] for image in kustomization["images"]} == used
    assert f"Namespace {kustomization['namespace']}" in MANIFESTS


def test_every_pool_has_its_placement() -> None:
    pools = {environment.name for environment in ENVIRONMENTS if environment is not DRIVER}
    assert {name.split()[1] for name in PODS if name.startswith("PodTemplate")} == pools


@pytest.mark.parametrize("name", PODS)
def test_no_pod_runs_as_root_or_gains_privileges(name: str) -> None:
    spec = PODS[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"]["drop"] == ["ALL"]
        assert "privileged" not in context


@pytest.mark.parametrize("name", PODS)
def test_volumes_that_are_mounted_exist(name: str) -> None:
    spec = PODS[name]["spec"]
    mounted = {v["name"] for c in spec["containers"] for v in c.get("volumeMounts", [])}
    assert mounted == {v["name"] for v in spec.get("volumes", [])}


def test_the_sandbox_pod_is_fenced() -> None:
    spec = ray_groups()["sandbox"]["spec"]
    assert spec["runtimeClassName"] == MANIFESTS["RuntimeClass gvisor"]["metadata"]["name"]
    assert spec["hostUsers"] is False
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    for volume in spec["volumes"]:
        assert volume["emptyDir"]["medium"] == "Memory"
        assert volume["emptyDir"]["sizeLimit"]
    for container in spec["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"cpu", "memory", "ephemeral-storage"} <= container["resources"]["limits"].keys()
        assert not {"env", "envFrom"} & container.keys()


def test_the_sandbox_reaches_its_ray_cluster_and_nothing_else() -> None:
    labels = ray_groups()["sandbox"]["metadata"]["labels"]
    policies = [m["spec"] for m in MANIFESTS.values() if m["kind"] == "NetworkPolicy"]
    assert all(policy["podSelector"]["matchLabels"] == labels for policy in policies)
    assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in policies)
    peers = [
        peer
        for policy in policies
        for rule in policy.get("ingress", []) + policy.get("egress", [])
        for peer in rule.get("from", []) + rule.get("to", [])
    ]
    ray = {"podSelector": {"matchLabels": {"ray.io/cluster": "k2"}}}
    others = [peer for peer in peers if peer != ray]
    assert len(others) == 1
    assert others[0]["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}


def test_other_pods_never_land_in_the_sandbox_pool() -> None:
    outside = [pod for name, pod in PODS.items() if name != "RayCluster sandbox"]
    assert all(pod["spec"].get("nodeSelector") != {"k2.pool": "sandbox"} for pod in outside)
    assert all(pod["metadata"]["labels"].get("k2.pool") != "sandbox" for pod in outside)


def test_the_service_finds_the_tracking_server() -> None:
    service = MANIFESTS["Service mlflow"]["spec"]
    server = MANIFESTS["Deployment mlflow"]["spec"]["template"]
    assert service["selector"].items() <= server["metadata"]["labels"].items()
    ports = {p["name"]: p["containerPort"] for p in server["spec"]["containers"][0]["ports"]}
    assert ports[service["ports"][0]["targetPort"]] == service["ports"][0]["port"]
