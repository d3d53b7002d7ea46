"""The stage's process of `test_two_hosts`: `python -m tests.k2core.rl.on_a_host START DISK`."""

import sys
import time
from pathlib import Path
from typing import NamedTuple

from k2core.reporting import Reporter, Silent
from k2core.rl import train_policy
from k2core.store import Draft, Store
from schemas.artifacts import Checkpoint, RlResult, RolloutLog, TrajectorySet
from schemas.base import Config
from schemas.optim import OptimConfig
from schemas.placement import Placement
from schemas.problems import ProblemsConfig
from schemas.rl import RlConfig
from tests.k2core.shapes import tiny_shape

CONFIG = RlConfig(
    num_iterations=3,
    decay_iterations=3,
    num_problems=8,
    problems_per_iteration=4,
    samples_per_problem=2,
    max_tokens=256,
    max_num_seqs=8,
    ptx_dialogues=2,
    validation_every=2,
    validation_per_family=1,
)


class Start(Config):
    """What the stage is given."""

    root: str
    sft: Checkpoint
    trajectories: TrajectorySet
    placement: Placement
    config: RlConfig = CONFIG


def write_start(store: Store, folder: Path, tokenizer: Path, placement: Placement) -> Start:
    """Random weights, which vLLM's kernels for CPU cores can serve, and a few dialogues."""
    from k2core.engines.megatron.trainer import Trainer
    from k2core.model.hf import describe_checkpoint
    from tests.k2core.sft.test_stage import write_trajectories

    shape = tiny_shape(vocab_size=400, init_std=0.2, qk_nope_head_dim=24, v_head_dim=32)
    Trainer(shape, OptimConfig(), seed=0).export_checkpoint(folder / "base")
    describe_checkpoint(folder / "base", shape, tokenizer, {})
    sft = store.publish(Checkpoint, Draft(folder / "base", {}))
    dialogues = write_trajectories(store, folder / "trajectories")
    return Start(root=store.root, sft=sft, trajectories=dialogues, placement=placement)


class Practised(NamedTuple):
    """What came of it."""

    result: RlResult
    seconds: float


def practise(start: Start, store: Store, key: str, report: Reporter | None = None) -> Practised:
    """The stage, and its publishing."""
    workspace = store.workspace(key, report or Silent())
    began = time.perf_counter()
    drafts = train_policy(
        start.config, ProblemsConfig(), start.sft, start.trajectories, start.placement, workspace
    )
    result = RlResult(
        policy=store.publish(Checkpoint, drafts.policy),
        rollouts=store.publish(RolloutLog, drafts.rollouts),
    )
    return Practised(result, time.perf_counter() - began)


if __name__ == "__main__":
    given, disk = Start.model_validate_json(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2])
    found = practise(given, Store(given.root, disk), "practice")
    written = sorted(path.name for path in disk.rglob("*.safetensors"))
    print(found.result.model_dump_json(), written, f"{found.seconds:.1f} s")
