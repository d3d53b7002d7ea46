"""A training step's forward and backward, ours on Megatron against plain PyTorch and transformers.

One core, fp32, the tiny recipe's shape, equal weights and batches, whole rows of one document each
(packing would favour us), contestants in turn. The optimizer is left out: `bench.optim` has it.
Ours also records the largest logit of each head and adds the balance loss; the others do not.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.plain import PlainK2
from k2core.model.hf import describe_checkpoint, load_weights
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement

OURS, PLAIN, TRANSFORMERS = "ours on Megatron", "plain PyTorch", "transformers"
_ROWS, _LENGTH = 8, 256
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2),
    "MALLOC_TRIM_THRESHOLD_": str(4 * 1024**3),
}
"""As training ranks have it: activations stay with the process. The same for all contestants."""

Step = Callable[[], float]


class Measured(NamedTuple):
    """CPU seconds of a step by round, and the loss of the first, by contestant."""

    seconds: dict[str, list[float]]
    losses: dict[str, float]

    def ratio(self, peer: str) -> float:
        """Our speed over a peer's: the median over rounds, each of which ran both in turn."""
        pairs = zip(self.seconds[peer], self.seconds[OURS], strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)


def contestants(shape: ModelShape) -> dict[str, Step]:
    """A step of each: gradients set to zero, forward, backward; returns the loss."""
    from k2core.engines.megatron.batch import Batch
    from k2core.engines.megatron.trainer import Trainer

    generator = torch.Generator().manual_seed(0)
    text = torch.randint(0, shape.vocab_size, (_ROWS, _LENGTH + 1), generator=generator)
    tokens, labels = text[:, :-1].contiguous(), text[:, 1:].contiguous()
    placement = Placement(num_ranks=1, micro_batch=_ROWS)
    trainer = Trainer(shape, OptimConfig(), seed=0, placement=placement)
    batch = Batch(tokens, labels, torch.ones(tokens.shape), torch.zeros_like(tokens))
    with tempfile.TemporaryDirectory() as name:
        folder, tokenizer = Path(name) / "model", Path(name) / "tokenizer"
        tokenizer.mkdir()
        trainer.export_checkpoint(folder)
        describe_checkpoint(folder, shape, tokenizer, {})
        return {
            OURS: lambda: trainer.accumulate(batch).loss,
            PLAIN: _plain(PlainK2(load_weights(folder), shape, _LENGTH), tokens, labels),
            TRANSFORMERS: _transformers(folder, tokens, labels),
        }


def _plain(model: PlainK2, tokens: Tensor, labels: Tensor) -> Step:
    def step() -> float:
        model.zero_grad(set_to_none=False)
        loss: Tensor = model(tokens, labels)
        loss.backward()
        return float(loss.detach())

    return step


def _transformers(folder: Path, tokens: Tensor, labels: Tensor) -> Step:
    """In its fastest form here, which is its default: sdpa and grouped experts."""
    from transformers import DeepseekV3ForCausalLM

    model = DeepseekV3ForCausalLM.from_pretrained(folder, dtype=torch.float32).train()

    def step() -> float:
        model.zero_grad(set_to_none=False)
        logits = model(tokens, use_cache=False).logits
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        loss.backward()
        return float(loss.detach())

    return step


def measure_steps(shape: ModelShape, rounds: int) -> Measured:
    """All contestants, round by round; CPU time, which other processes on the core do not add to.

    Raises:
        ValueError: losses differ: the contestants do not compute the same.
    """
    steps = contestants(shape)
    losses = {name: step() for name, step in steps.items()}  # warms up
    if max(losses.values()) - min(losses.values()) > 1e-4:
        raise ValueError(f"losses of the same weights and batch differ: {losses}")
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            started = time.process_time()
            step()
            seconds[name].append(time.process_time() - started)
    return Measured(seconds, losses)


def main() -> None:
    """Print the table and the two ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_known_args()[0].rounds
    if not _MALLOC.items() <= os.environ.items():  # glibc reads them before Python starts
        again = [sys.executable, "-m", "bench.train", "--rounds", str(rounds)]
        subprocess.run(again, env=os.environ | _MALLOC, check=True)
        return
    from workflows.recipes import tiny

    torch.set_num_threads(1)
    found = measure_steps(tiny().model, rounds)
    table = Table("contestant", "CPU s a step", "tokens/s a core", "loss", "speed, ours / its")
    for name, seconds in found.seconds.items():
        middle = statistics.median(seconds)
        speed = f"{_ROWS * _LENGTH / middle:,.0f}"
        loss, ratio = f"{found.losses[name]:.5f}", f"{found.ratio(name):.2f}x"
        table.add_row(name, f"{middle:.3f}", speed, loss, ratio)
    Console(width=120).print(table)
    print(
        f"train against transformers' DeepseekV3ForCausalLM ratio={found.ratio(TRANSFORMERS):.2f}"
    )
    print(f"train against plain PyTorch ratio={found.ratio(PLAIN):.2f}")


if __name__ == "__main__":
    main()
