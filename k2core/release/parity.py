"""Proof that the released folder computes what was trained: Megatron, transformers, vLLM."""

import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from decimal import ROUND_UP, Context
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from k2core.engines.protocol import Sampling
from k2core.model.config import load_shape
from schemas.base import Config
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement
from schemas.release import ReleaseConfig

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from k2core.engines.protocol import Engine

_LEAST = 64
"""Held-out tokens without which nothing is compared."""
_PROMPT = 32
"""Tokens of a window that are continued."""


class ParityError(ValueError):
    """A released folder that does not compute what was trained."""


class Parity(Config):
    """What was compared on one checkpoint."""

    tokens: int
    """Held-out tokens compared."""
    windows: tuple[int, ...]
    """Lengths of the windows that they were in."""
    max_logit_difference: float
    """Largest |transformers - Megatron|, fp32, rounded up to one digit."""
    argmax_equal_frac: float
    """Share of positions with the same most likely token."""
    greedy_tokens_equal: int
    """Tokens that vLLM continued greedily, all as transformers did."""


class Proof(NamedTuple):
    """What was compared, for readers elsewhere to be held against."""

    parity: Parity
    windows: "list[Tensor]"
    """Token ids [S] of each window."""
    logits: "list[Tensor]"
    """The trainer's [S, V] of each."""


def check_parity(
    folder: Path, tokens: Sequence[int], engine: "Engine", config: ReleaseConfig
) -> Proof:
    """Compare a checkpoint's three readers.

    Args:
        folder: the checkpoint.
        tokens: held-out text.
        engine: vLLM, serving this checkpoint.
        config: how much to compare, and how close it must be.

    Raises:
        ParityError: logits differ too much, or greedy continuations differ.
    """
    windows = cut_windows(tokens, load_shape(folder), config.parity_windows)
    model = load_model(folder)
    theirs = compute_theirs(model, windows)
    ours = _megatron_logits(folder, windows)
    difference = max(float((a - b).abs().max()) for a, b in zip(theirs, ours, strict=True))
    if not difference <= config.max_logit_difference:
        sizes = ", ".join(str(len(window)) for window in windows)
        raise ParityError(
            f"{folder.name}: transformers' logits differ from Megatron's by {difference:.2e} on "
            f"windows of {sizes} tokens, more than release.max_logit_difference="
            f"{config.max_logit_difference}"
        )
    parity = Parity(
        tokens=sum(map(len, windows)),
        windows=tuple(map(len, windows)),
        max_logit_difference=round_up(difference),
        argmax_equal_frac=argmax_equal(theirs, ours),
        greedy_tokens_equal=_check_greedy(folder.name, model, windows, engine, config),
    )
    return Proof(parity, windows, ours)


def cut_windows(tokens: Sequence[int], shape: ModelShape, lengths: Sequence[int]) -> "list[Tensor]":
    """Windows of these lengths, each further in the text, which begins again where it ends.

    Raises:
        ParityError: there is too little text.
    """
    import torch

    if len(tokens) < _LEAST:
        raise ParityError(f"{len(tokens)} held-out tokens are too few: {_LEAST} are needed")
    longest, original = shape.max_position_embeddings, shape.original_max_position_embeddings
    wanted = [min(length, longest) for length in lengths]
    if shape.yarn_factor > 1 and max(wanted) <= original:
        wanted.append(min(longest, original + _LEAST))
    text = cycle(tokens)
    return [torch.tensor(list(islice(text, length))) for length in wanted]


def compute_theirs(model: "PreTrainedModel", windows: "Sequence[Tensor]") -> "list[Tensor]":
    """Transformers' logits [S, V] of each window."""
    import torch

    with torch.no_grad():
        return [model(window[None]).logits[0] for window in windows]


def argmax_equal(some: "Sequence[Tensor]", others: "Sequence[Tensor]") -> float:
    """Share of positions at which both find the same token likeliest."""
    import torch

    equal = [a.argmax(-1) == b.argmax(-1) for a, b in zip(some, others, strict=True)]
    return float(torch.cat(equal).float().mean())


def _check_greedy(
    name: str,
    model: "PreTrainedModel",
    windows: "Sequence[Tensor]",
    engine: "Engine",
    config: ReleaseConfig,
) -> int:
    """Continue the beginning of every window by vLLM and transformers; how many tokens agreed."""
    prompts = [window[:_PROMPT].tolist() for window in windows]
    asked = [Sampling(config.num_greedy_tokens, temperature=0.0)] * len(prompts)
    num_equal = 0
    for prompt, served in zip(prompts, engine.generate(prompts, asked), strict=True):
        expected = _greedy(model, prompt, len(served.token_ids))
        if not expected or served.token_ids != expected:
            raise ParityError(f"{name}: vLLM continues {served.token_ids}, transformers {expected}")
        num_equal += len(expected)
    return num_equal


def load_model(folder: Path) -> "PreTrainedModel":
    """In transformers, in fp32.

    Raises:
        ParityError: tensors lack or are unknown.
    """
    import torch
    from transformers import DeepseekV3ForCausalLM

    with redirect_stderr(io.StringIO()):  # a progress bar; errors are raised
        loaded: Any = DeepseekV3ForCausalLM.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True
        )
    model, info = loaded
    strange = [*info["missing_keys"], *info["unexpected_keys"]]
    if strange:
        raise ParityError(f"{folder.name}: transformers misses or does not know {strange[:3]}")
    evaluated: PreTrainedModel = model.eval()
    return evaluated


def _megatron_logits(folder: Path, windows: "Sequence[Tensor]") -> "list[Tensor]":
    """In a process of its own, which ends with the memory that Megatron took."""
    from k2core.engines.torchrun import run_ranks

    return run_ranks(compute_logits, folder, list(windows), placement=Placement(num_ranks=1))


def compute_logits(folder: Path, windows: "Sequence[Tensor]") -> "list[Tensor]":
    """Megatron's [S, V] of each window; on one rank."""
    from k2core.engines.megatron.trainer import Trainer

    trainer = Trainer(load_shape(folder), OptimConfig(), seed=0, checkpoint=folder)
    return [trainer.logits(window[None])[0] for window in windows]


def round_up(difference: float) -> float:
    """To one digit, and never below: the card says `at most`."""
    return float(Context(prec=1, rounding=ROUND_UP).create_decimal(repr(difference)))


def _greedy(model: "PreTrainedModel", prompt: list[int], count: int) -> list[int]:
    """Greedy continuation without a stop token, one whole forward pass a token."""
    import torch

    ids = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]
