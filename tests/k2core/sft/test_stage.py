"""Finetuning end to end on a handful of dialogues; a step that blows up names its trajectories."""

import json
from pathlib import Path

import polars as pl
import pytest

from k2core.chat import ChatCodec
from k2core.engines.megatron.trainer import Trainer
from k2core.model.hf import describe_checkpoint
from k2core.sft.dialogues import Dialogues, encode_dialogues
from k2core.sft.stage import finetune_on_ranks
from k2core.store import Draft, Store
from schemas.artifacts import Checkpoint, TrajectorySet
from schemas.chat import Message, Problem
from schemas.optim import OptimConfig, Schedule
from schemas.placement import Placement
from schemas.rubrics import CriticPairs
from schemas.sft import SftConfig
from tests.k2core.shapes import tiny_shape

SHAPE = tiny_shape(vocab_size=400)
ALONE = Placement(num_ranks=1)
USER = Message(role="user", content="hi")


def _row(number: int) -> dict[str, object]:
    problem = Problem(
        problem_id="p", family="f", group="math", messages=(USER,), verifier="v"
    ).model_dump_json()
    said = Message(role="assistant", content=f"it is {number} " * (1 + 8 * (number == 3)))
    texts = dict.fromkeys(("parent", "fault", "reason"), "")
    texts |= {"problem_id": "p", "family": "f", "group": "math", "agent": "expert"}
    texts |= {"state": "{}", "stop_reason": "answered", "judge": "checker", "problem": problem}
    messages = json.dumps([m.model_dump() for m in (USER, said)])
    numbers = {"attempt": 0, "pass_rate": 1.0, "reward": 1.0}
    return {"trajectory_id": f"dialogue-{number}", "messages": messages, **texts, **numbers}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def write_base(store: Store, folder: Path, tokenizer_folder: Path) -> Checkpoint:
    """Random weights."""
    Trainer(SHAPE, OptimConfig(), seed=0).export_checkpoint(folder)
    describe_checkpoint(folder, SHAPE, tokenizer_folder, {})
    return store.publish(Checkpoint, Draft(folder, {}))


@pytest.fixture
def base(store: Store, tmp_path: Path, tokenizer_folder: Path) -> Checkpoint:
    return write_base(store, tmp_path / "base", tokenizer_folder)


def write_trajectories(store: Store, folder: Path) -> TrajectorySet:
    """Eight dialogues, one of them long."""
    (folder / "accepted").mkdir(parents=True)
    columns = ["trajectory_id", "problem_id", "attempt", "parent", "pass_rate", "family", "group"]
    columns += ["agent", "problem", "messages", "state", "stop_reason", "reward", "judge"]
    frame = pl.DataFrame([_row(number) for number in range(8)]).select(*columns, "fault", "reason")
    frame.write_parquet(folder / "accepted" / "0.parquet")
    return store.publish(TrajectorySet, Draft(folder, {}))


@pytest.fixture
def trajectories(store: Store, tmp_path: Path) -> TrajectorySet:
    return write_trajectories(store, tmp_path / "trajectories")


def finetuning(lr: float) -> SftConfig:
    """Four steps at a rate."""
    return SftConfig(
        optim=OptimConfig(lr=lr),
        schedule=Schedule(num_steps=4, warmup_frac=0.0),
        sequence_length=64,
        batch_size=2,
        max_skipped_frac=0.5,
    )


def test_dialogues_are_learned_from(
    store: Store, base: Checkpoint, trajectories: TrajectorySet
) -> None:
    draft = finetune_on_ranks(finetuning(5e-3), base, trajectories, store.workspace("sft"), ALONE)
    assert draft.counts["steps"] == 4
    assert (draft.counts["dialogues"], draft.counts["skipped_dialogues"]) == (7, 1)
    assert draft.counts["refused_steps"] == 0


def test_a_critics_judgements_are_learned_beside_the_dialogues(
    store: Store, tmp_path: Path, codec: ChatCodec
) -> None:
    folder = store.open(write_trajectories(store, tmp_path / "trajectories"))
    failed = [_row(90 + number) | {"fault": "agent", "reason": "wrong"} for number in range(3)]
    frame = pl.read_parquet(folder / "accepted" / "0.parquet")
    both = tmp_path / "both"
    for name, rows in (("accepted", frame), ("rejects", pl.DataFrame(failed))):
        (both / name).mkdir(parents=True)
        rows.select(frame.columns).write_parquet(both / name / "0.parquet")
    critic = CriticPairs(show="none", num_pairs=10)
    alone = Dialogues(encode_dialogues(both, codec, tmp_path / "alone"), 500, 0.0)
    joined = Dialogues(encode_dialogues(both, codec, tmp_path / "joined", critic), 500, 0.0)
    assert (len(alone), len(joined)) == (8, 8 + 10)
    assert [joined.name(number) for number in (0, 7, 8, 17)] == [
        "dialogue-0", "dialogue-7", "critic/0", "critic/9",
    ]  # fmt: skip
    ids, learned = joined[8]
    assert codec.decode([i for i, own in zip(ids, learned, strict=True) if own]) in {
        "A<|im_end|>", "B<|im_end|>",
    }  # fmt: skip


def test_a_step_that_blows_up_names_its_trajectories(
    store: Store, base: Checkpoint, trajectories: TrajectorySet
) -> None:
    with pytest.raises(FloatingPointError, match=r"step \d of 4: loss .*dialogue-\d"):
        finetune_on_ranks(finetuning(1e30), base, trajectories, store.workspace("wild"), ALONE)
    listed = next((store.disk / "work" / "wild" / "scratch" / "refused").glob("*.json"))
    names = {entry["name"] for entry in json.loads(listed.read_text())["documents"]}
    assert names
    assert "dialogue-3" not in names  # too long for a row: left out, and the others keep their ids
    assert names <= {f"dialogue-{number}" for number in range(8)}
