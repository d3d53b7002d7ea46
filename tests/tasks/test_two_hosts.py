"""Training over two hosts through the entry point of a cluster: equal numbers, whatever happens."""

import asyncio
import json
import random
import re
import sqlite3
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest
from flyte._internal.runtime.convert import convert_from_native_to_inputs

from k2core.pretrain.stage import pretrain_on_ranks
from k2core.sft.stage import finetune_on_ranks
from k2core.store import Draft, Store
from schemas.artifacts import Checkpoint, TokenCorpus
from schemas.base import Artifact
from schemas.model import ModelShape
from schemas.optim import OptimConfig, Schedule
from schemas.placement import Placement
from schemas.pretrain import PretrainConfig
from tasks.work import record_of, work_key
from tests.k2core.pretrain.conftest import write_corpus
from tests.k2core.sft.test_stage import finetuning, write_base, write_trajectories
from tests.tasks.hosts import NAMES, Hosts, Pod, find_obstacle, hosts, wait_until

__all__ = ["hosts"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_obstacle() != "", reason=find_obstacle())]
TWO = Placement(num_ranks=2, micro_batch=2, timeout_s=20)
ALONE = Placement(num_ranks=1, micro_batch=2)
CONFIG = PretrainConfig(
    optim=OptimConfig(lr=1e-2, qk_clip_tau=1e-4),
    schedule=Schedule(num_steps=24),
    sequence_length=16,
    batch_size=4,
    checkpoint_every=2,
)
SHAPE = ModelShape(
    vocab_size=300,
    num_layers=2,
    hidden_size=32,
    num_heads=2,
    q_lora_rank=16,
    kv_lora_rank=16,
    qk_nope_head_dim=8,
    qk_rope_head_dim=8,
    v_head_dim=8,
    ffn_hidden_size=64,
    moe_ffn_hidden_size=32,
    num_experts=4,
)


class Job(NamedTuple):
    """A task and its inputs, as files."""

    task: str
    inputs: Path
    outputs: Path
    key: str
    """Of its work in the store."""


@pytest.fixture(scope="module")
def store(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(hosts.store, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def corpus(store: Store, tmp_path_factory: pytest.TempPathFactory) -> TokenCorpus:
    folder = tmp_path_factory.mktemp("corpus")
    return store.publish(TokenCorpus, Draft(folder, write_corpus(folder)))


def make_job(folder: Path, task: str, **inputs: object) -> Job:
    """What Flyte would leave for the pods of a task."""
    module = import_module(f"tasks.{task}")
    interface = getattr(module, task).native_interface
    found = asyncio.run(convert_from_native_to_inputs(interface, **inputs))  # type: ignore[arg-type]
    path = folder / f"{task}.pb"
    (folder / "outputs").mkdir()
    path.write_bytes(found.proto_inputs.SerializeToString())
    key = work_key(record_of(task, module.VERSION, inputs))
    return Job(task, path, folder / "outputs", key)


def start(hosts: Hosts, job: Job, attempt: int = 0) -> dict[str, Pod]:
    """Both pods of an attempt."""
    pods = (hosts.start(name, job.task, job.inputs, job.outputs, attempt) for name in NAMES)
    return dict(zip(NAMES, pods, strict=True))


def wait_for_states(store: Store, job: Job, pods: Mapping[str, Pod], count: int) -> None:
    """Until so many states lie in the store, or the newest is of so late a step."""
    states = store.states(job.key)
    wait_until(lambda: (states.sealed("step-") or [""])[-1] >= f"step-{2 * count:08d}", pods)


def finish(pods: Mapping[str, Pod]) -> None:
    """Wait for both pods to end well."""
    wait_until(lambda: all(p.process.poll() is not None for p in pods.values()), pods)
    for name, pod in pods.items():
        assert pod.process.returncode == 0, f"{name}: {pod.said()[-4000:]}"


def result(job: Job) -> Checkpoint:
    """What the task returned, once."""
    assert not (job.outputs / "error.pb").exists()
    said = (job.outputs / "outputs.pb").read_bytes()
    (digest,) = set(re.findall(rb"sha256:[0-9a-f]{64}", said))
    return Checkpoint(digest=digest.decode(), counts={})


def first_step(hosts: Hosts) -> int:
    """Of the newest run in the lineage that host a keeps."""
    said = "select min(step) from metrics where key = 'loss' and run_uuid = ("
    said += "select run_uuid from runs order by start_time desc limit 1)"
    with sqlite3.connect(hosts.folder / "disks" / "a" / "mlflow.db") as lineage:
        return int(lineage.execute(said).fetchone()[0])


def curves(store: Store, checkpoint: Artifact) -> list[float]:
    """Losses, one a step."""
    training = json.loads(store.open_file(checkpoint, "training.json").read_text())
    losses: list[float] = training["history"]["losses"]
    return losses


@pytest.fixture(scope="module")
def undisturbed(
    hosts: Hosts, corpus: TokenCorpus, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    job = pretrain_job(tmp_path_factory.mktemp("whole"), corpus)
    finish(start(hosts, job))
    for name in NAMES:
        hosts.destroy(name)
    return result(job)


def pretrain_job(folder: Path, corpus: TokenCorpus) -> Job:
    inputs = {"config": CONFIG, "shape": SHAPE, "tokens": corpus, "placement": TWO}
    return make_job(folder, "pretrain", **inputs)


def test_two_hosts_train_as_one_process_does(
    store: Store, corpus: TokenCorpus, undisturbed: Checkpoint
) -> None:
    draft = pretrain_on_ranks(CONFIG, SHAPE, corpus, store.workspace("alone"), ALONE)
    ours = curves(store, undisturbed)
    theirs = curves(store, store.publish(Checkpoint, draft))
    assert len(ours) == 24
    assert ours[0] == pytest.approx(theirs[0], abs=2e-6)
    assert ours == pytest.approx(theirs, abs=1e-3)  # by the order of additions


def test_two_hosts_finetune_as_one_process_does(
    hosts: Hosts, store: Store, tmp_path: Path, tokenizer_folder: Path
) -> None:
    base = write_base(store, tmp_path / "base", tokenizer_folder)
    dialogues = write_trajectories(store, tmp_path / "trajectories")
    config = finetuning(5e-3)
    inputs = {"config": config, "base": base, "trajectories": dialogues}
    job = make_job(tmp_path, "sft", **inputs, placement=TWO)
    finish(start(hosts, job))
    draft = finetune_on_ranks(config, base, dialogues, store.workspace("sft"), ALONE)
    ours, theirs = curves(store, result(job)), curves(store, store.publish(Checkpoint, draft))
    assert len(ours) == 4
    assert ours == pytest.approx(theirs, abs=1e-3)


def test_a_host_lost_with_its_disk_changes_no_bit(
    hosts: Hosts, store: Store, corpus: TokenCorpus, undisturbed: Checkpoint, tmp_path: Path
) -> None:
    """Killed at a random step; the whole set starts again, as a JobSet has it."""
    rng, job = random.Random(1), pretrain_job(tmp_path, corpus)
    pods = start(hosts, job)
    wait_for_states(store, job, pods, rng.randint(1, 10))
    time.sleep(rng.random() / 4)
    hosts.destroy("b")
    wait_until(lambda: pods["a"].process.poll() is not None, pods, 60)
    assert not list(job.outputs.glob("outputs.pb"))
    hosts.kill("a")
    pods = start(hosts, job, attempt=1)
    finish(pods)
    assert first_step(hosts) > 1  # it went on
    assert result(job).digest == undisturbed.digest


def test_a_cut_cable_is_noticed_and_named(
    hosts: Hosts, store: Store, corpus: TokenCorpus, tmp_path: Path
) -> None:
    job = pretrain_job(tmp_path, corpus)
    pods = start(hosts, job)
    wait_for_states(store, job, pods, 1)
    hosts.cut("b")
    wait_until(lambda: "waited in vain" in pods["a"].said(), pods, TWO.timeout_s + 30)
    assert "no sign of life from rank 1 on host-b" in pods["a"].said()
