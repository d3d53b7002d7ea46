"""The pods of each pool: on which nodes, as whom, with which secrets, known by which labels.

They are built here and travel with each task, so that a deployment needs nothing on the cluster
but what they name: node labels, the Secret, the runtime class and the account of infra/k8s.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import flyte

if TYPE_CHECKING:
    from kubernetes.client import V1Container, V1PodSpec

Role: TypeAlias = Literal["cpu", "ranks", "ray", "ray-head", "ray-worker", "sandbox"]

SECRET = "k2-credentials"
"""The Secret whose entries become variables of what speaks to MLflow or the store, e.g.
`MLFLOW_TRACKING_PASSWORD`; it may be absent, where the nodes' identity is enough."""
QUEUE = "k2"
"""Kueue's queue for what needs GPUs: all pods of a task start together or wait."""
USER = 1000
"""The user `flyte` of the images, whose home takes the code bundle."""


class _Traits(NamedTuple):
    """What sets a role's pods apart."""

    nodes: str
    """Their nodes' label `k2.pool`."""
    has_secrets: bool = True
    tolerates: tuple[tuple[str, str], ...] = ()
    """Taints (key, value) of those nodes; an empty value: any."""
    shared_memory: str = ""
    """Size of /dev/shm; empty: the container runtime's 64 MiB."""
    runtime: str | None = None
    account: str | None = None
    read_only: bool = False


_GPU_NODE = (("nvidia.com/gpu", ""),)

_ROLES: dict[Role, _Traits] = {
    "cpu": _Traits("cpu"),
    "ranks": _Traits("gpu", tolerates=_GPU_NODE, shared_memory="64Gi"),
    # Flyte makes every pod of a Ray job from this one: what it holds, the sandbox gets too.
    "ray": _Traits("cpu", has_secrets=False),
    "ray-head": _Traits("cpu", shared_memory="8Gi"),
    "ray-worker": _Traits("gpu", tolerates=_GPU_NODE, shared_memory="64Gi"),
    "sandbox": _Traits(
        "sandbox",
        has_secrets=False,
        tolerates=(("k2.pool", "sandbox"),),
        shared_memory="2Gi",
        runtime="gvisor",
        account="k2-sandbox",
        read_only=True,
    ),
}


class PoolTemplate(flyte.PodTemplate):
    """A pod template that is built when a task is serialised.

    Kubernetes' client takes most of a second to import, and a local run needs no pod.
    """

    def __init__(
        self, role: Role, pool: str, container: str = "primary", num_gpus: int = 0
    ) -> None:
        """Take a role's pods in a pool; Ray names its containers itself."""
        self._role: Role = role
        self._num_gpus = num_gpus
        self._built: V1PodSpec | None = None
        super().__init__(primary_container_name=container, labels=_labels(role, pool))

    @property
    def pod_spec(self) -> "V1PodSpec":
        """The pod, built on first use."""
        if self._built is None:
            self._built = _pod(self._role, self.primary_container_name, self._num_gpus)
        return self._built

    @pod_spec.setter
    def pod_spec(self, spec: "V1PodSpec | None") -> None:
        self._built = spec


def _labels(role: Role, pool: str) -> dict[str, str]:
    """What the network policies and the queue know a pod by."""
    labels = {"k2.pool": "sandbox" if role == "sandbox" else pool}
    if role != "cpu":
        labels["kueue.x-k8s.io/queue-name"] = QUEUE
    if role not in ("cpu", "ranks"):
        labels["k2.ray"] = pool
    return labels


def _pod(role: Role, container: str, num_gpus: int) -> "V1PodSpec":
    from kubernetes import client as k8s

    traits = _ROLES[role]
    sizes = {"/dev/shm": traits.shared_memory} if traits.shared_memory else {}
    if traits.read_only:
        sizes["/tmp"] = "4Gi"
    volumes = {path: path.strip("/").replace("/", "-") for path in sizes}
    return k8s.V1PodSpec(
        containers=[_container(role, container, num_gpus, volumes)],
        volumes=[
            k8s.V1Volume(
                name=name,
                empty_dir=k8s.V1EmptyDirVolumeSource(medium="Memory", size_limit=sizes[path]),
            )
            for path, name in volumes.items()
        ],
        node_selector={"k2.pool": traits.nodes},
        tolerations=[
            k8s.V1Toleration(
                key=key,
                operator="Equal" if value else "Exists",
                value=value or None,
                effect="NoSchedule",
            )
            for key, value in traits.tolerates
        ],
        runtime_class_name=traits.runtime,
        service_account_name=traits.account,
        host_users=False if traits.runtime else None,
        automount_service_account_token=False,
        enable_service_links=False,
        security_context=k8s.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=USER,
            run_as_group=USER,
            fs_group=USER,
            # The stages' own sandbox needs user namespaces, which the runtime's profile refuses.
            seccomp_profile=None if role == "cpu" else k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
    )


def _container(role: Role, name: str, num_gpus: int, volumes: Mapping[str, str]) -> "V1Container":
    """Flyte fills in image, command, variables and what else the task asks for."""
    from kubernetes import client as k8s

    traits = _ROLES[role]
    secret = k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=SECRET, optional=True))
    # Without a token of its own (infra/k8s/ray.yaml) such a cluster does not start.
    token = k8s.V1EnvVar(name="RAY_AUTH_MODE", value="token")
    gpus = {"nvidia.com/gpu": str(num_gpus)} if num_gpus else None
    return k8s.V1Container(
        name=name,
        env=[token] if role == "ray" else None,
        env_from=[secret] if traits.has_secrets else None,
        resources=k8s.V1ResourceRequirements(requests=gpus, limits=gpus) if gpus else None,
        security_context=k8s.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=traits.read_only or None,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
        ),
        volume_mounts=[
            k8s.V1VolumeMount(name=volume, mount_path=path) for path, volume in volumes.items()
        ],
    )
