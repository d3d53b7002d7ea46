"""What a forward pass keeps for the backward at the tiny recipe's shape, and what saving costs.

Bytes are torch's own allocations less frees over one forward pass of 8 x 256 tokens, fp32. With
`--seeds N` the loss effect of FP8 storage, too: equal text, weights and steps with and without.
"""

import argparse
import statistics
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from k2core.optim.schedule import learning_rate
from schemas.model import ModelShape
from schemas.optim import OptimConfig, Schedule
from schemas.placement import Placement

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import Batch
    from k2core.engines.megatron.trainer import Trainer

_ROWS, _LENGTH = 8, 256

Recompute = Literal["none", "selective", "full"]


class Mode(NamedTuple):
    """How to save."""

    recompute: Recompute
    fp8: bool

    def __str__(self) -> str:
        return f"recompute {self.recompute}{', FP8 storage' if self.fp8 else ''}"


MODES = (
    Mode("none", False),
    Mode("none", True),
    Mode("selective", False),
    Mode("selective", True),
    Mode("full", False),
)


class Cost(NamedTuple):
    """Of one forward and backward pass."""

    kept_bytes: int
    seconds: float


def build(shape: ModelShape, mode: Mode, seed: int = 0) -> "Trainer":
    """A trainer that saves so."""
    from k2core.engines.megatron.trainer import Trainer

    placement = Placement(num_ranks=1, micro_batch=_ROWS, recompute=mode.recompute)
    return Trainer(shape, OptimConfig(fp8_storage=mode.fp8), seed=seed, placement=placement)


def random_batch(shape: ModelShape) -> "Batch":
    """Whole rows of one document each."""
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(0, shape.vocab_size, (_ROWS, _LENGTH + 1), generator=generator)
    return make_batch(text)


def make_batch(text: torch.Tensor) -> "Batch":
    """Rows [B, S+1] as inputs and labels."""
    from k2core.engines.megatron.batch import Batch

    tokens = text[:, :-1].contiguous()
    return Batch(
        tokens, text[:, 1:].contiguous(), torch.ones(tokens.shape), torch.zeros_like(tokens)
    )


def measure_cost(trainer: "Trainer", batch: "Batch", rounds: int = 3) -> Cost:
    """Bytes kept, and the median CPU seconds of forward and backward."""
    trainer.accumulate(batch)
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        trainer.accumulate(batch)
        seconds.append(time.process_time() - started)
    profiling = torch.profiler.profile(profile_memory=True)
    with profiling as profile, torch.profiler.record_function("forward"):
        held = trainer._forward(batch, counted=True, labels=True)
    del held
    averages = profile.key_averages()
    kept = next(e.cpu_memory_usage for e in averages if e.key == "forward")
    return Cost(kept, statistics.median(seconds))


def read_text(shape: ModelShape, num_tokens: int) -> torch.Tensor:
    """Python's own library as tokens of a byte-pair vocabulary trained on it."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [file.read_text(errors="ignore") for file in files]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = trainers.BpeTrainer(
        vocab_size=shape.vocab_size, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts[:60], bpe)
    ids: list[int] = []
    for text in texts:
        ids += tokenizer.encode(text).ids
        if len(ids) >= num_tokens:
            return torch.tensor(ids[:num_tokens])
    raise ValueError(f"{len(files)} files hold {len(ids)} tokens; {num_tokens} are wanted")


def train_losses(
    shape: ModelShape, mode: Mode, text: torch.Tensor, *, steps: int, seed: int
) -> Iterator[float]:
    """Losses of one run; other seeds start from other weights and read other rows."""
    windows = text[: len(text) // (_LENGTH + 1) * (_LENGTH + 1)].view(-1, _LENGTH + 1)
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(seed))
    trainer, schedule = build(shape, mode, seed), Schedule(num_steps=steps)
    for step in range(steps):
        rows = windows[order[step * _ROWS : (step + 1) * _ROWS]]
        yield trainer.step(make_batch(rows), learning_rate(step, 5e-3, schedule)).loss


def measure_losses(shape: ModelShape, steps: int, seeds: int) -> Table:
    """With and without FP8 storage, seed by seed."""
    text = read_text(shape, 2 * steps * _ROWS * (_LENGTH + 1))
    title = f"{steps} steps of {_ROWS} x {_LENGTH} tokens"
    columns = ("seed", "loss of the last 10 steps", "with FP8 storage", "difference")
    table = Table(*columns, title=title)
    for seed in range(seeds):
        kept, packed = (
            statistics.fmean(
                list(train_losses(shape, Mode("none", fp8), text, steps=steps, seed=seed))[-10:]
            )
            for fp8 in (False, True)
        )
        table.add_row(str(seed), f"{kept:.4f}", f"{packed:.4f}", f"{packed - kept:+.4f}")
    return table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--steps", type=int, default=48)
    asked = parser.parse_known_args()[0]
    from workflows.recipes import tiny

    torch.set_num_threads(1)
    shape, console = tiny().model, Console(width=120)
    if asked.seeds:
        console.print(measure_losses(shape, asked.steps, asked.seeds))
    batch = random_batch(shape)
    costs = {mode: measure_cost(build(shape, mode), batch) for mode in MODES}
    plain, best = costs[MODES[0]], costs[Mode("selective", True)]
    table = Table("saving", "kept", "of all", "forward + backward")
    for mode, cost in costs.items():
        share, time_share = cost.kept_bytes / plain.kept_bytes, cost.seconds / plain.seconds
        kept_size = f"{cost.kept_bytes / 1e6:.1f} MB"
        table.add_row(str(mode), kept_size, f"{share:.0%}", f"{time_share:.2f}x")
    console.print(table)
    print(f"activations ratio={plain.kept_bytes / best.kept_bytes:.2f}")


if __name__ == "__main__":
    main()
