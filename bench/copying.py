"""What a model copies out of its prompt: words that were said before, names of tools.

`python -m bench.copying CHECKPOINT...` asks checkpoints of the tiny recipe's families: how likely
tokens without sense are the second time they are said, one after another, and how often each token
of a declared tool's name is the likeliest, given those before it. Tools of training, and tools that
no dialogue declares. With `--steps N` each is trained on first, on rows of senseless tokens that
are said twice, whole and with others between: what teaches copying and nothing else.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from k2core.chat import SPECIAL_TOKENS, ChatCodec
from k2core.problems import held_out_problems
from k2core.problems.unseen import with_unseen_tools
from schemas.chat import Problem
from schemas.optim import OptimConfig
from schemas.placement import Placement
from schemas.problems import ProblemsConfig

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import Batch
    from k2core.engines.megatron.trainer import Trainer

_FAMILIES = ("sum_with_tool", "product_with_tool", "compare", "correction")
"""Of one tool each: which is called is no question."""
_BYTES = 256 + len(SPECIAL_TOKENS)
"""Tokens of a vocabulary that are no merges, about."""
_ROWS, _LENGTH = 32, 256
_CALL = ("<|tool_calls_section_begin|>", "<|tool_call_begin|>")
_PREFIX = "functions."


class Copied(NamedTuple):
    """Of one checkpoint."""

    first: float
    """Loss of senseless tokens, in nats."""
    again: float
    """The second time."""
    likeliest: float
    """Share of these that are the likeliest."""
    known: list[float]
    """Of a right call's name, by place: share of tokens that are the likeliest."""
    unseen: list[float]
    """The same of tools that nobody trained on."""


class Shown(NamedTuple):
    """A prompt and a right call as far as its tool's name."""

    ids: list[int]
    begin: int
    """Where the name begins."""


def measure(trainer: "Trainer", codec: ChatCodec, per_family: int = 15) -> Copied:
    """What a model copies; nothing is trained."""
    import torch

    size, rng = trainer.shape.vocab_size, random.Random(99)
    said = [_draw(rng, 40, size) for _ in range(16)]
    rows = torch.tensor([words + _draw(rng, 20, size) + words for words in said])
    logits = trainer.logits(rows)[:, :-1]
    losses = -logits.log_softmax(-1).gather(-1, rows[:, 1:, None])[..., 0]
    likeliest = logits.argmax(-1) == rows[:, 1:]
    problems = list(pick_problems(per_family))
    strange = [with_unseen_tools(problem).problem for problem in problems]
    return Copied(
        float(losses[:, 9:39].mean()),
        float(losses[:, 60:].mean()),
        float(likeliest[:, 60:].float().mean()),
        _names(trainer, [show_call(problem, codec) for problem in problems]),
        _names(trainer, [show_call(problem, codec) for problem in strange]),
    )


def pick_problems(per_family: int) -> Iterator[Problem]:
    """Held-out problems that one call answers, told in one turn."""
    held_out = held_out_problems(ProblemsConfig(held_out_per_family=4 * per_family))
    for name in _FAMILIES:
        told = [p for p in held_out if p.family == name and not p.follow_ups]
        yield from told[:per_family]


def show_call(problem: Problem, codec: ChatCodec) -> Shown:
    """The problem, and a call of its tool up to the name's end."""
    prompt = codec.encode_prompt(problem.messages, problem.tools)
    opened = [SPECIAL_TOKENS.index(token) for token in _CALL]
    name = codec.encode(f"{_PREFIX}{problem.tools[0].name}:0")
    # Where the name begins: a dot may be one token with a letter.
    begin = next(n for n in range(len(name)) if len(codec.decode(name[: n + 1])) >= len(_PREFIX))
    return Shown(prompt + opened + name, len(prompt) + len(opened) + begin)


def _names(trainer: "Trainer", shown: Sequence[Shown]) -> list[float]:
    import torch

    width = max(len(one.ids) for one in shown)
    rows = torch.tensor([one.ids + [0] * (width - len(one.ids)) for one in shown])
    right = trainer.logits(rows)[:, :-1].argmax(-1) == rows[:, 1:]
    shares = []
    for place in range(3):
        found = [bool(right[n, one.begin + place - 1]) for n, one in enumerate(shown)]
        shares.append(sum(found) / len(found))
    return shares


def teach(trainer: "Trainer", num_steps: int, lr: float) -> Iterator[float]:
    """Train on senseless rows that repeat themselves; yields the loss of each step."""
    rng, size = random.Random(0), trainer.shape.vocab_size
    for step in range(num_steps):
        warm = min(1.0, (step + 1) / 5)
        yield trainer.step(repeat(rng, size), lr * warm).loss


def repeat(rng: random.Random, size: int) -> "Batch":
    """Rows of runs of senseless tokens, each said again after up to a dozen others."""
    import torch

    from k2core.engines.megatron.batch import Batch

    rows = []
    for _ in range(_ROWS):
        row: list[int] = []
        while len(row) <= _LENGTH:
            words = _draw(rng, rng.randint(6, 40), size)
            row += words + _draw(rng, rng.randint(0, 12), size) + words
        rows.append(row[: _LENGTH + 1])
    tokens = torch.tensor(rows)
    labels, inputs = tokens[:, 1:].contiguous(), tokens[:, :-1].contiguous()
    return Batch(inputs, labels, torch.ones(inputs.shape), torch.zeros_like(inputs))


def _draw(rng: random.Random, count: int, size: int) -> list[int]:
    return [rng.randrange(_BYTES, size) for _ in range(count)]


def main() -> None:
    """Print a row a checkpoint, and one more for each that was taught."""
    from k2core.engines.megatron.trainer import Trainer
    from k2core.model.config import load_shape

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--every", type=int, default=50, help="steps between rows")
    parser.add_argument("--lr", type=float, default=5e-3)
    given = parser.parse_args()
    names = ("name, known", "name, unseen")
    table = Table("", "loss of tokens", "said again", "likeliest", *names)
    placement = Placement(num_ranks=1, micro_batch=8)
    for folder in given.checkpoints:
        shape, codec = load_shape(folder), ChatCodec(folder)
        optim = OptimConfig(lr=given.lr)
        trainer = Trainer(shape, optim, seed=0, checkpoint=folder, placement=placement)
        _add(table, folder.name[:12], measure(trainer, codec))
        for step, loss in enumerate(teach(trainer, given.steps, given.lr), 1):
            if step % given.every == 0 or step == given.steps:
                found = measure(trainer, codec)
                _add(table, f"after {step} steps, loss {loss:.2f}", found)
                print(step, found, flush=True)
    Console().print(table)


def _add(table: Table, name: str, found: Copied) -> None:
    shares = (" ".join(f"{share:.0%}" for share in part) for part in (found.known, found.unseen))
    table.add_row(
        name, f"{found.first:.2f}", f"{found.again:.2f}", f"{found.likeliest:.1%}", *shares
    )


if __name__ == "__main__":
    main()
