"""The stage on two hosts that share no disk: the bytes of one machine, all by way of the bucket."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from k2core.store import Store
from schemas.artifacts import RlResult
from schemas.placement import Placement, Serving
from tests.k2core.rl.on_a_host import CONFIG, practise, write_start
from tests.tasks.hosts import Hosts, Pod, address_of, find_obstacle, hosts, wait_until

__all__ = ["hosts"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_obstacle() != "", reason=find_obstacle())]

THREE = Placement(num_ranks=3, micro_batch=4, timeout_s=60, serving=Serving(num_engines=1))
"""Hosts of two cores have room for them only together."""
_PORT = 6399
_QUIET = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture(scope="module")
def nodes(hosts: Hosts) -> Iterator[dict[str, Pod]]:
    """A Ray node a host."""
    common = ["ray", "start", "--block", "--num-cpus=2", "--disable-usage-stats"]
    common += ["--object-store-memory=200000000"]
    with tempfile.TemporaryDirectory(prefix="k2r-", dir="/tmp") as short:  # paths of sockets
        joins = {
            "a": ["--head", f"--port={_PORT}", "--include-dashboard=false", f"--temp-dir={short}"],
            "b": [f"--address={address_of('a')}:{_PORT}"],
        }
        pods: dict[str, Pod] = {}
        for name, how in joins.items():
            command = [*common, f"--node-ip-address={address_of(name)}", *how]
            pods[name] = pod = hosts.run(name, command, _QUIET, f"ray-{name}")
            wait_until(partial(_stands, pod), pods, 90)
        yield pods
        for name in pods:
            hosts.kill(name)


def _stands(pod: Pod) -> bool:
    assert pod.process.poll() is None, pod.said()[-3000:]
    return "Ray runtime started" in pod.said()


def test_hosts_without_a_common_disk_practise_as_one_machine_does(
    hosts: Hosts, nodes: dict[str, Pod], tmp_path: Path, tokenizer_folder: Path
) -> None:
    store = Store(hosts.store, tmp_path / "cache")
    start = write_start(store, tmp_path, tokenizer_folder, THREE)
    shorter = CONFIG.model_copy(update={"num_iterations": 2, "unsafe_sandbox": True})
    start = start.model_copy(update={"config": shorter})
    (tmp_path / "start.json").write_text(start.model_dump_json())
    command = ["python", "-m", "tests.k2core.rl.on_a_host", str(tmp_path / "start.json")]
    there = _QUIET | {"RAY_ADDRESS": f"{address_of('a')}:{_PORT}"}
    stage = hosts.run("a", [*command, str(hosts.disk / "store")], there, "stage")
    wait_until(lambda: stage.process.poll() is not None, {"stage": stage, **nodes}, 400)
    assert stage.process.returncode == 0, stage.said()[-6000:]
    (said,) = [line for line in stage.said().splitlines() if line.startswith('{"policy"')]
    print(said)
    found = RlResult.model_validate_json(said[: said.rindex("}") + 1])
    wanted = practise(start, Store(hosts.store, tmp_path / "here"), "here")
    assert (found.policy.digest, found.rollouts.digest) == (
        wanted.result.policy.digest,
        wanted.result.rollouts.digest,
    )
    assert not store.find_fault(found.policy, verify=True)
    assert list((hosts.folder / "disks" / "b").rglob("*.safetensors"))  # both worked
