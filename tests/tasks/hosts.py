"""Two network namespaces as two hosts, each with a disk of its own; a bridge and an S3 between.

A host is started as a cluster starts a pod of a clustered task: by Flyte's `clustered` program,
with JobSet's variables.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

ROOT = Path(__file__).resolve().parents[2]
_PREFIX = f"k2t{os.getpid() % 10000}"
_NET = "10.78.31"
NAMES = ("a", "b")
_DNS = "k2-workers-0-{index}.k2.ns.svc.cluster.local"


def find_obstacle() -> str:
    """Why this machine cannot play two hosts; empty if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "unshare", "mount") if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} not found (iproute2, util-linux)"
    probe = subprocess.run(["ip", "netns", "add", f"{_PREFIX}x"], capture_output=True, check=False)
    if probe.returncode:
        return f"no network namespaces here: {probe.stderr.decode().strip()}"
    _run("ip", "netns", "del", f"{_PREFIX}x")
    return ""


class Pod(NamedTuple):
    """One host's task, running."""

    process: "subprocess.Popen[str]"
    log: Path

    def said(self) -> str:
        """All that it printed so far."""
        return self.log.read_text()


class Hosts:
    """Both hosts, and the object store that they reach.

    Args:
        folder: disks and logs are in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.disk = folder, folder / "disk"
        self.disk.mkdir(parents=True)
        _make_network()
        server = make_server(
            f"{_NET}.254", 0, DomainDispatcherApplication(create_backend_app), threaded=True
        )
        self.endpoint = f"http://{_NET}.254:{server.port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._server = server
        self.store = "s3://k2-hosts/store"
        make = urllib.request.Request(f"{self.endpoint}/k2-hosts", method="PUT")
        urllib.request.urlopen(make).close()

    @property
    def environment(self) -> dict[str, str]:
        """What reaches the store."""
        return {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "K2_STORE": self.store,
        }

    def start(self, name: str, task: str, inputs: Path, outputs: Path, attempt: int) -> Pod:
        """The pod of a host."""
        index = NAMES.index(name)
        environment = {
            "JOBSET_NAME": "k2",
            "POD_NAMESPACE": "ns",
            "JOB_COMPLETION_INDEX": str(index),
            "JOBSET_RESTART_ATTEMPT": str(attempt),
            "JOBSET_MAX_RESTARTS": "0",
            "NNODES": "2",
            "NPROC_PER_NODE": "1",
            "RDZV_BACKEND": "static",
            "MASTER_PORT": "29531",
            "GLOO_SOCKET_IFNAME": "eth0",
        }
        command = ["clustered", "--inputs", str(inputs), "--outputs-path", str(outputs)]
        command += ["--version", "v", "--run-base-dir", str(outputs / "base"), "--name", "a1"]
        command += ["--raw-data-path", str(outputs / "raw"), "--run-name", "r1", "--org", "o"]
        command += ["--project", "k2", "--domain", "development"]
        command += ["--resolver", "flyte._internal.resolvers.default.DefaultTaskResolver"]
        command += ["mod", f"tasks.{task}", "instance", task]
        return self.run(name, command, environment, f"{task}-{name}-{attempt}")

    def run(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], title: str
    ) -> Pod:
        """A command on a host, with a disk of its own at `self.disk`."""
        disk, log = self.folder / "disks" / name, self.folder / f"{title}.log"
        disk.mkdir(parents=True, exist_ok=True)
        everywhere = {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "K2_HOME": str(self.disk / "home"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.disk / 'mlflow.db'}",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        own = f'hostname host-{name}; mount --bind {disk} {self.disk}; exec "$@"'
        enter = ["ip", "netns", "exec", _space(name), "unshare", "-m", "-u", "bash", "-c", own]
        with log.open("w") as out:
            process = subprocess.Popen(
                [*enter, "--", *command],
                cwd=ROOT,
                env={**os.environ, **self.environment, **everywhere, **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
            )
        return Pod(process, log)

    def destroy(self, name: str) -> None:
        """Kill all that runs on a host, and take its disk."""
        self.kill(name)
        shutil.rmtree(self.folder / "disks" / name)

    def kill(self, name: str) -> None:
        """Kill all that runs on a host."""
        pids = _run("ip", "netns", "pids", _space(name)).split()
        if pids:
            subprocess.run(["kill", "-9", *pids], check=False, capture_output=True)

    def cut(self, name: str) -> None:
        """Pull a host's cable: nothing is said to the other end."""
        _run("ip", "link", "set", f"{_space(name)}v", "down")

    def close(self) -> None:
        """Leave nothing behind."""
        for name in NAMES:
            self.kill(name)
        self._server.shutdown()
        _remove_network()


@contextmanager
def two_hosts(folder: Path) -> Iterator[Hosts]:
    """Both hosts, for a while."""
    try:
        hosts = Hosts(folder)
        try:
            yield hosts
        finally:
            hosts.close()
    finally:
        _remove_network()


def _make_network() -> None:
    _run("ip", "link", "add", f"{_PREFIX}br", "type", "bridge")
    _run("ip", "addr", "add", f"{_NET}.254/24", "dev", f"{_PREFIX}br")
    _run("ip", "link", "set", f"{_PREFIX}br", "up")
    names = [f"{_NET}.{i + 1} host-{n} {_DNS.format(index=i)}" for i, n in enumerate(NAMES)]
    for index, name in enumerate(NAMES):
        space, link = _space(name), f"{_space(name)}v"
        _run("ip", "netns", "add", space)
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        _run("ip", "link", "set", link, "master", f"{_PREFIX}br", "up")
        _run("ip", "-n", space, "addr", "add", f"{_NET}.{index + 1}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            _run("ip", "-n", space, "link", "set", device, "up")
        place = Path("/etc/netns") / space
        place.mkdir(parents=True, exist_ok=True)
        (place / "hosts").write_text("\n".join(["127.0.0.1 localhost", *names, ""]))


def _remove_network() -> None:
    for name in NAMES:
        for what in (["link", "del", f"{_space(name)}v"], ["netns", "del", _space(name)]):
            subprocess.run(["ip", *what], check=False, capture_output=True)
        shutil.rmtree(Path("/etc/netns") / _space(name), ignore_errors=True)
    subprocess.run(["ip", "link", "del", f"{_PREFIX}br"], check=False, capture_output=True)


def address_of(name: str) -> str:
    """A host's, in the network of both."""
    return f"{_NET}.{NAMES.index(name) + 1}"


def _space(name: str) -> str:
    return f"{_PREFIX}{name}"


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Both, and this process with their environment."""
    with two_hosts(tmp_path_factory.mktemp("hosts")) as both, pytest.MonkeyPatch.context() as patch:
        for name, value in both.environment.items():
            patch.setenv(name, value)
        yield both


def wait_until(what: Callable[[], bool], pods: Mapping[str, Pod], seconds: float = 240) -> None:
    """Until it is so.

    Raises:
        AssertionError: it takes too long; with what the pods said.
    """
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            said = "\n".join(f"--- {name}\n{pod.said()[-4000:]}" for name, pod in pods.items())
            raise AssertionError(f"nothing after {seconds} s\n{said}")
        time.sleep(0.1)
