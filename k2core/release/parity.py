"""Proof that the released folder computes what was trained: Megatron, transformers, vLLM.

The first two hold a layer's weights at a time, so a model may be larger than this memory.
"""

import io
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from decimal import ROUND_UP, Context
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from k2core.engines.protocol import Decoding
from k2core.model.config import load_shape
from k2core.model.tensors import tensor_shapes
from schemas.base import Config
from schemas.model import ModelShape
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
    with open_model(folder) as model:
        theirs = compute_theirs(model, windows)
        ours = _megatron_logits(folder, windows)
        _check_difference(folder.name, theirs, ours, config)
        num_equal = _check_greedy(folder.name, model, windows, engine, config)
    return Proof(_describe(windows, theirs, ours, num_equal), windows, ours)


def _check_difference(
    name: str, theirs: "list[Tensor]", ours: "list[Tensor]", config: ReleaseConfig
) -> None:
    difference = largest_difference(theirs, ours)
    if not difference <= config.max_logit_difference:
        sizes = ", ".join(str(len(logits)) for logits in ours)
        raise ParityError(
            f"{name}: transformers' logits differ from Megatron's by {difference:.2e} on "
            f"windows of {sizes} tokens, more than release.max_logit_difference="
            f"{config.max_logit_difference}"
        )


def _describe(
    windows: "list[Tensor]", theirs: "list[Tensor]", ours: "list[Tensor]", num_equal: int
) -> Parity:
    return Parity(
        tokens=sum(map(len, windows)),
        windows=tuple(map(len, windows)),
        max_logit_difference=round_up(largest_difference(theirs, ours)),
        argmax_equal_frac=argmax_equal(theirs, ours),
        greedy_tokens_equal=num_equal,
    )


def largest_difference(some: "Sequence[Tensor]", others: "Sequence[Tensor]") -> float:
    """Of the logits of all windows."""
    return max(float((a - b).abs().max()) for a, b in zip(some, others, strict=True))


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
    asked = [Decoding(config.num_greedy_tokens, temperature=0.0)] * len(prompts)
    num_equal = 0
    for prompt, served in zip(prompts, engine.generate(prompts, asked), strict=True):
        said = served.token_ids
        expected = _likeliest(model, prompt, said) if said else []
        if not said or said != expected:
            raise ParityError(f"{name}: vLLM continues {said}, transformers {expected}")
        num_equal += len(said)
    return num_equal


@contextmanager
def open_model(folder: Path, max_bytes: int = 100 * 2**20) -> "Iterator[PreTrainedModel]":
    """In transformers, in fp32.

    Args:
        folder: the checkpoint.
        max_bytes: of weights that are held whole; of a larger model a layer's are there while it
            computes, and no longer.

    Raises:
        ParityError: tensors lack or are unknown.
    """
    import torch
    from transformers import DeepseekV3ForCausalLM

    shape, places = load_shape(folder), {"": "cpu"}
    if 4 * sum(map(math.prod, tensor_shapes(shape).values())) > max_bytes:
        layers = [f"model.layers.{number}" for number in range(shape.num_layers)]
        places = dict.fromkeys(["model.embed_tokens", *layers, "model.norm", "lm_head"], "disk")
        places["model.rotary_emb"] = "cpu"
    with tempfile.TemporaryDirectory(prefix="k2-layers-") as aside:
        with redirect_stderr(io.StringIO()):  # a progress bar; errors are raised
            loaded: Any = DeepseekV3ForCausalLM.from_pretrained(
                folder,
                dtype=torch.float32,
                output_loading_info=True,
                device_map=places,
                offload_folder=aside,
            )
        model, info = loaded
        strange = [*info["missing_keys"], *info["unexpected_keys"]]
        if strange:
            raise ParityError(f"{folder.name}: transformers misses or does not know {strange[:3]}")
        evaluated: PreTrainedModel = model.eval()
        yield evaluated


def _megatron_logits(folder: Path, windows: "Sequence[Tensor]") -> "list[Tensor]":
    """In a process of its own, which ends with the memory that Megatron took."""
    from k2core.engines.torchrun import run_ranks

    return run_ranks(compute_logits, folder, list(windows), placement=Placement(num_ranks=1))


def compute_logits(folder: Path, windows: "Sequence[Tensor]") -> "list[Tensor]":
    """Megatron's [S, V] of each window, a layer at a time; on one rank."""
    from k2core.engines.megatron.streamed import stream_logits

    return stream_logits(folder, windows)


def round_up(difference: float) -> float:
    """To one digit, and never below: the card says `at most`."""
    return float(Context(prec=1, rounding=ROUND_UP).create_decimal(repr(difference)))


def _likeliest(model: "PreTrainedModel", prompt: list[int], said: list[int]) -> list[int]:
    """The likeliest token in the place of each that was said, after those before it.

    They are what was said if and only if that is the greedy continuation: one pass tells.
    """
    import torch

    logits = compute_theirs(model, [torch.tensor(prompt + said)])[0]
    found: list[int] = logits[len(prompt) - 1 : -1].argmax(-1).tolist()
    return found
