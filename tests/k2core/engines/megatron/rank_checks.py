"""What two ranks are asked, all in one start of them: see `test_ranks.py`.

A check runs on both; rank 0 also trains alone where there is something to compare with, so a check
gives figures and tensors, and the tests judge them.
"""

import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from k2core.engines.learner import Learner, Weights, below
from k2core.engines.megatron.batch import PADDING, Batch, ObjectiveValue, StepStats
from k2core.engines.megatron.lead import lead
from k2core.engines.megatron.trainer import Trainer
from k2core.model.digest import tensors_digest
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement

Trains = Learner | Trainer
"""Many ranks', or one."""
SHAPE = ModelShape(
    vocab_size=300,
    num_layers=3,
    hidden_size=48,
    num_heads=2,
    q_lora_rank=24,
    kv_lora_rank=16,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=12,
    ffn_hidden_size=64,
    moe_ffn_hidden_size=32,
    num_experts=4,
    max_position_embeddings=256,
    original_max_position_embeddings=256,
    init_std=0.1,
)
"""Small, yet with every part: dense and sparse layers, two heads, a shared expert."""
YARN = SHAPE.model_copy(
    update={"yarn_factor": 4.0, "original_max_position_embeddings": 64, "seq_aux_loss": 0.1}
)
CONFIG = OptimConfig(qk_clip_tau=0.05)
TWO = Placement(num_ranks=2, micro_batch=2)
SHARED = Placement(num_ranks=2, cp=2, micro_batch=2)


def make_batch(seed: int, rows: int = 5, width: int = 24) -> Batch:
    """Rows with two documents each, a masked label at the seam, and padding in all but row 0."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 300, (rows, width + 1), generator=generator)
    segments = (torch.arange(width) >= width // 3).long().repeat(rows, 1)
    for row in range(1, rows):
        segments[row, width - 2 * row :] = PADDING
    mask = (segments >= 0).float()
    mask[:, width // 3 - 1] = 0
    return Batch(tokens[:, :-1], tokens[:, 1:], mask, segments)


def hold(batch: Batch) -> Batch:
    """The same under grammars: each label is one of a half of the vocabulary, or of all of it."""
    generator = torch.Generator().manual_seed(int(batch.labels.sum()))
    table = torch.randint(0, 256, (4, 38), generator=generator, dtype=torch.uint8)
    table[0] = 255
    place = torch.randint(0, 4, batch.labels.shape, generator=generator)
    for row, label in zip(place.flatten().tolist(), batch.labels.flatten().tolist(), strict=True):
        table[row, label // 8] |= 1 << label % 8
    return batch._replace(extra={**batch.extra, "mask": place}, masks=table)


def weigh(logprobs: Tensor, batch: Batch) -> ObjectiveValue:
    """Needs whole rows: each row's sum is squared."""
    sums = (logprobs * batch.loss_mask).sum(-1) / 200
    value = (sums.square() * batch.extra["weight"]).sum() / batch.totals.rows
    return ObjectiveValue(value, {"rows": len(sums) / batch.totals.rows})


def poison(logprobs: Tensor, _batch: Batch) -> ObjectiveValue:
    return ObjectiveValue(logprobs.sum() * torch.nan)


class Course(NamedTuple):
    """Steps of a model, and what it says at the end."""

    steps: Sequence[StepStats]
    weights: Mapping[str, Tensor]
    logprobs: Tensor | None = None


def own_weights(learner: Trains) -> dict[str, Tensor]:
    """All weights as copies, on rank 0."""
    return learner.send_weights(copy_all, help_copy)


def copy_all(weights: Weights) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in weights.everywhere()}


def help_copy(weights: Weights) -> None:
    copy_all(weights)


def spread_rows(learner: Trains, folder: Path) -> dict[str, object]:
    """Uneven rows, padding and forced clips; a state; then one row for two ranks, twice."""
    steps = [learner.step(make_batch(seed, rows=5), 2e-3) for seed in range(4)]
    course = Course(steps, own_weights(learner), learner.logprobs(make_batch(9)))
    learner.save(below(folder / "state"))
    last = [learner.step(make_batch(seed, rows=1), 2e-3) for seed in (4, 5)]
    wanted = tensors_digest(own_weights(learner))
    learner.load((folder / "state").joinpath)
    again = [learner.step(make_batch(seed, rows=1), 2e-3) for seed in (4, 5)]
    same = again == last and tensors_digest(own_weights(learner)) == wanted
    return {"course": course, "last": last, "resumed": same}


def share_rows(learner: Trains, folder: Path) -> dict[str, object]:
    """An odd width, padding, YaRN, grammars and an objective of whole rows; clips forced."""
    steps = []
    for seed in range(3):
        batch = make_batch(seed, width=23)._replace(extra={"weight": 1 + torch.arange(5.0)})
        steps.append(learner.step(hold(batch), 1e-3, weigh))
    probe = learner.logprobs(hold(make_batch(9, width=23)))
    return {"course": Course(steps, own_weights(learner), probe)}


def share_words(learner: Trains, folder: Path) -> dict[str, object]:
    """Grammars over a vocabulary that is cut within a byte of their masks; clips forced."""
    steps = [learner.step(hold(make_batch(seed)), 1e-3) for seed in range(3)]
    return {"course": Course(steps, own_weights(learner), learner.logprobs(hold(make_batch(9))))}


def refuse(learner: Trains, folder: Path) -> dict[str, object]:
    """A step after refused ones, and after none."""
    found: dict[str, object] = {}
    for name, bad in (("calm", ()), ("refused", (None, poison))):
        learner.load((folder / "fresh").joinpath)
        learner.step(make_batch(0), 2e-3, max_loss=math.inf)
        refused = [learner.step(make_batch(5), 2e-3, objective, 1e-3) for objective in bad]
        last = learner.step(make_batch(1), 2e-3, max_loss=math.inf)
        taken = [one.taken or bool(one.clips) for one in refused]
        found[name] = last, tensors_digest(own_weights(learner))
        found[f"{name} taken"] = taken
    return found


OPTIM = OptimConfig(lr=5e-3, qk_clip_tau=1e-3)


def document_rows(step: int) -> Batch:
    """Rows of two documents, the last of them padded."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, 300, (4, 25), generator=generator)
    segments = (torch.arange(24) >= 9).long().repeat(4, 1)
    segments[3, 20:] = PADDING
    mask = (segments >= 0).float()
    return Batch(tokens[:, :-1], tokens[:, 1:], mask, segments)


def take(learner: Trains, first: int, last: int) -> Course:
    """Steps from `first` to before `last`."""
    steps = [learner.step(document_rows(step), 1e-3) for step in range(first, last)]
    return Course(steps, own_weights(learner))


def reshard(learner: Trains, folder: Path) -> dict[str, object]:
    """A state of its own, then one process's taken up."""
    take(learner, 0, 5)
    learner.save(below(folder / "two"))
    learner.load((folder / "one").joinpath)
    return {"from_one": take(learner, 5, 10)}


class Work(Protocol):
    """A check's function."""

    def __call__(self, learner: Trains, folder: Path) -> dict[str, object]: ...


class Check(NamedTuple):
    """What two ranks do, in a layout."""

    work: Work
    placement: Placement
    shape: ModelShape = SHAPE
    optim: OptimConfig = CONFIG


def _zero(kind: Literal["matrix", "flat"]) -> Check:
    return Check(reshard, TWO.model_copy(update={"zero": kind}), optim=OPTIM)


CHECKS = {
    "spread": Check(spread_rows, TWO),
    "shared": Check(share_rows, SHARED, YARN),
    "words": Check(share_words, Placement(num_ranks=2, tp=2, micro_batch=2)),
    "refuse": Check(refuse, TWO),
    "matrix": _zero("matrix"),
    "flat": _zero("flat"),
}


def run_checks(folder: Path) -> dict[str, dict[str, object]]:
    """On each of two ranks: every check, in a folder of its own."""
    found = {}
    for name, check in CHECKS.items():
        trainer = Trainer(check.shape, check.optim, seed=0, placement=check.placement)
        place = folder / name
        trainer.save(below(place / "fresh"))
        found[name] = lead(trainer, partial(check.work, folder=place))
        digests = trainer.ranks.collect(tensors_digest(trainer.local_weights()))
        found[name]["digests"] = digests
        found[name]["files"] = files_read(trainer, place / "fresh")
    found["ranks"] = {"pid": os.getpid(), "launched": [n for n in os.environ if n == "RANK"]}
    return found


def files_read(trainer: Trainer, state: Path) -> list[list[str]]:
    """The ranks' files that each rank opens to take up a state of the same layout."""
    read: list[str] = []

    def fetch(name: str) -> Path:
        read.append(name)
        return state / name

    trainer.load(fetch)
    return trainer.ranks.collect(sorted({name for name in read if name.startswith("rank-")}))


def alone(name: str, folder: Path) -> dict[str, object]:
    """The same check in one process."""
    check = CHECKS[name]
    placement = Placement(num_ranks=1, micro_batch=check.placement.micro_batch)
    trainer = Trainer(check.shape, check.optim, seed=0, placement=placement)
    trainer.save(below(folder / "fresh"))
    return check.work(trainer, folder)
