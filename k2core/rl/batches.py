"""Samples and PTX dialogues as one batch for the trainer."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from k2core.rl.samples import Sample

if TYPE_CHECKING:
    from k2core.chat import EncodedDialogue
    from k2core.engines.megatron.batch import Batch

_PADDING = -1


class Row(NamedTuple):
    """One dialogue to train on, before padding."""

    ids: list[int]
    mask: list[int]
    old_logprobs: list[float]
    advantage: float
    policy_share: float
    text_share: float
    temperature: float = 1.0
    """What it was sampled at; the trainer takes log p there."""
    mean_tokens: float = 1.0
    """Of the samples of the same problem."""


def policy_rows(samples: Sequence[Sample], num_asked: int, temperature: float) -> list[Row]:
    """Each sample counts 1 / num_asked.

    Args:
        samples: those that have a gradient.
        num_asked: samples of the update in all: E_x is over every problem asked.
        temperature: what they were drawn at.
    """
    share, lengths = 1.0 / max(1, num_asked), defaultdict[str, list[int]](list)
    for sample in samples:
        lengths[sample.problem.problem_id].append(sample.dialogue.num_tokens)
    return [
        Row(
            s.dialogue.token_ids,
            s.dialogue.loss_mask,
            s.dialogue.logprobs,
            s.advantage,
            share,
            0.0,
            temperature,
            statistics.fmean(lengths[s.problem.problem_id]),
        )
        for s in samples
    ]


def text_rows(dialogues: "Sequence[EncodedDialogue]", weight: float) -> list[Row]:
    """Each of the assistant's tokens counts weight / tokens."""
    tokens = sum(sum(dialogue.loss_mask[1:]) for dialogue in dialogues)
    share = weight / max(1, tokens)
    return [Row(d.ids, d.loss_mask, [0.0] * len(d.ids), 0.0, 0.0, share) for d in dialogues]


def build_batch(rows: Sequence[Row], pad_id: int, num_ranks: int) -> "Batch":
    """Pad rows to one width; every rank and micro-batch gets rows of about the same length."""
    import torch

    from k2core.engines.megatron.batch import Batch

    if not rows:
        raise ValueError("a batch needs at least one row")
    order = sorted(range(len(rows)), key=lambda index: (len(rows[index].ids), index))
    rows = [rows[i] for first in range(num_ranks) for i in order[first::num_ranks]]
    shape = len(rows), max(len(row.ids) for row in rows) - 1
    tokens, labels = torch.full(shape, pad_id), torch.full(shape, pad_id)
    mask, old = torch.zeros(shape), torch.zeros(shape)
    segments = torch.full(shape, _PADDING)
    for index, row in enumerate(rows):
        width = len(row.ids) - 1
        tokens[index, :width] = torch.tensor(row.ids[:-1])
        labels[index, :width] = torch.tensor(row.ids[1:])
        mask[index, :width] = torch.tensor(row.mask[1:], dtype=torch.float32)
        old[index, :width] = torch.tensor(row.old_logprobs[1:], dtype=torch.float32)
        segments[index, :width] = 0
    extra = {
        "old_logprobs": old,
        "advantage": torch.tensor([row.advantage for row in rows]),
        "policy_share": torch.tensor([row.policy_share for row in rows]),
        "text_share": torch.tensor([row.text_share for row in rows]),
        "temperature": torch.tensor([row.temperature for row in rows]),
        "mean_tokens": torch.tensor([row.mean_tokens for row in rows]),
        "weight": torch.ones(len(rows)),
    }
    return Batch(tokens, labels, mask, segments, extra)
