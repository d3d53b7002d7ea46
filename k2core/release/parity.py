"""Proof that the released folder computes what was trained: Megatron, transformers, vLLM."""

import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from decimal import ROUND_UP, Context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from k2core.engines.protocol import Sampling
from k2core.model.config import load_shape
from schemas.base import Config
from schemas.optim import OptimConfig
from schemas.placement import Placement
from schemas.release import ReleaseConfig

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from k2core.engines.protocol import Engine

_ROW = 64


class ParityError(ValueError):
    """A released folder that does not compute what was trained."""


class Parity(Config):
    """What was compared on one checkpoint."""

    tokens: int
    """Held-out tokens compared."""
    max_logit_difference: float
    """Largest |transformers - Megatron|, fp32, rounded up to one digit."""
    argmax_equal_frac: float
    """Share of positions with the same most likely token."""
    greedy_tokens_equal: int
    """Tokens that vLLM continued greedily, all as transformers did."""


class Proof(NamedTuple):
    """What was compared, for readers elsewhere to be held against."""

    parity: Parity
    rows: "Tensor"
    """Token ids [R, 64]."""
    logits: "Tensor"
    """The trainer's [R, 64, V]."""


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
    import torch

    num_rows = min(len(tokens), config.num_parity_tokens) // _ROW
    if num_rows < 1:
        raise ParityError(f"{len(tokens)} held-out tokens are too few: {_ROW} are needed")
    rows = torch.tensor(tokens[: num_rows * _ROW]).view(num_rows, _ROW)
    model = _load(folder)
    with torch.no_grad():
        theirs = model(rows).logits
    ours = _megatron_logits(folder, rows)
    difference = float((theirs - ours).abs().max())
    if not difference <= config.max_logit_difference:
        worst = int((theirs - ours).abs().amax(-1).flatten().argmax())
        raise ParityError(
            f"{folder.name}: transformers' logits differ from Megatron's by {difference:.2e} at "
            f"token {worst}, more than release.max_logit_difference={config.max_logit_difference}"
        )
    prompt = rows[0, : _ROW // 2].tolist()
    (served,) = engine.generate([prompt], [Sampling(config.num_greedy_tokens, temperature=0.0)])
    expected = _greedy(model, prompt, len(served.token_ids))
    if not expected or served.token_ids != expected:
        raise ParityError(
            f"{folder.name}: vLLM continues {served.token_ids}, transformers {expected}"
        )
    parity = Parity(
        tokens=rows.numel(),
        max_logit_difference=round_up(difference),
        argmax_equal_frac=float((theirs.argmax(-1) == ours.argmax(-1)).float().mean()),
        greedy_tokens_equal=len(expected),
    )
    return Proof(parity, rows, ours)


def _load(folder: Path) -> "PreTrainedModel":
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


def _megatron_logits(folder: Path, rows: "Tensor") -> "Tensor":
    """In a process of its own, which ends with the memory that Megatron took."""
    from k2core.engines.torchrun import run_ranks

    return run_ranks(compute_logits, folder, rows, placement=Placement(num_ranks=1))


def compute_logits(folder: Path, rows: "Tensor") -> "Tensor":
    """Megatron's, of whole rows; on one rank."""
    from k2core.engines.megatron.trainer import Trainer

    return Trainer(load_shape(folder), OptimConfig(), seed=0, checkpoint=folder).logits(rows)


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
