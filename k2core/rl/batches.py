"""Samples and PTX dialogues as one batch for the trainer."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from k2core.rl.samples import Sample

if TYPE_CHECKING:
    from k2core.chat import EncodedDialogue
    from k2core.engines.megatron.batch import Batch
    from k2core.rl.practice import Masks

_PADDING = -1


class TrainingRow(NamedTuple):
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
    problem: str = ""
    """Whose samples begin alike, so that the trainer computes that once; empty: of none."""
    masks: Sequence[bytes] = ()
    """Of each token: what it was chosen from (`k2core.rl.masks`); none where that is all."""


def policy_rows(
    samples: Sequence[Sample],
    num_asked: int,
    temperature: float,
    masks: "Masks | None" = None,
) -> list[TrainingRow]:
    """Each sample counts 1 / num_asked.

    Args:
        samples: those that have a gradient.
        num_asked: samples of the update in all: E_x is over every problem asked.
        temperature: what they were drawn at.
        masks: what their tokens were chosen from; None is the whole vocabulary.
    """
    share, lengths = 1.0 / max(1, num_asked), defaultdict[str, list[int]](list)
    for sample in samples:
        lengths[sample.problem.problem_id].append(sample.dialogue.num_tokens)
    return [
        TrainingRow(
            s.dialogue.token_ids,
            s.dialogue.loss_mask,
            s.dialogue.logprobs,
            s.advantage,
            share,
            0.0,
            temperature,
            statistics.fmean(lengths[s.problem.problem_id]),
            s.problem.problem_id,
            masks(s.dialogue) if masks else (),
        )
        for s in samples
    ]


def text_rows(dialogues: "Sequence[EncodedDialogue]", weight: float) -> list[TrainingRow]:
    """Each of the assistant's tokens counts weight / tokens."""
    tokens = sum(sum(dialogue.loss_mask[1:]) for dialogue in dialogues)
    share = weight / max(1, tokens)
    return [TrainingRow(d.ids, d.loss_mask, [0.0] * len(d.ids), 0.0, 0.0, share) for d in dialogues]


def build_batch(rows: Sequence[TrainingRow], pad_id: int, num_ranks: int) -> "Batch":
    """Pad rows to one width; every rank gets as many, about as much to compute, problems whole."""
    import torch

    from k2core.engines.megatron.batch import Batch
    from k2core.engines.megatron.folding import GROUP

    if not rows:
        raise ValueError("a batch needs at least one row")
    problems = _by_problem(rows)
    order = [place for part in _deal(problems, num_ranks) for place in part]
    rows = [row for place in order for row in problems[place]]
    groups = [place for place in order for _ in problems[place]]
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
        GROUP: torch.tensor(groups),
    }
    batch = Batch(tokens, labels, mask, segments, extra)
    return _with_masks(batch, rows) if any(any(row.masks) for row in rows) else batch


def _by_problem(rows: Sequence[TrainingRow]) -> list[list[TrainingRow]]:
    """A problem's samples together, the shortest first; a row of none alone."""
    found = dict[tuple[str, int], list[TrainingRow]]()
    for index, row in enumerate(sorted(rows, key=lambda row: len(row.ids))):
        found.setdefault((row.problem, -1 if row.problem else index), []).append(row)
    return list(found.values())


def _deal(problems: Sequence[Sequence[TrainingRow]], num_ranks: int) -> list[list[int]]:
    """Places of each rank's problems, by length; the largest go first, to whoever has least.

    A rank has its share of all rows (`own_bounds`), so single rows come last, which fill any room.
    """
    from k2core.engines.megatron.folding import folded_size
    from k2core.parallel.rows import own_bounds

    sizes = [folded_size([row.ids[:-1] for row in problem]) for problem in problems]
    num_rows = sum(map(len, problems))
    bounds = (own_bounds(num_rows, rank, num_ranks) for rank in range(num_ranks))
    room, load = [stop - start for start, stop in bounds], [0] * num_ranks
    dealt: list[list[int]] = [[] for _ in room]
    for place in sorted(range(len(problems)), key=lambda i: (len(problems[i]) == 1, -sizes[i], i)):
        count = len(problems[place])
        rank = min(range(num_ranks), key=lambda r: (room[r] < count, load[r], r))
        dealt[rank].append(place)
        room[rank] -= count
        load[rank] += sizes[place]
    return [sorted(part, key=lambda i: (len(problems[i][-1].ids), i)) for part in dealt]


def _with_masks(batch: "Batch", rows: Sequence[TrainingRow]) -> "Batch":
    """Each mask once, after one that allows all."""
    import torch

    known: dict[bytes, int] = {b"": 0}
    place = torch.zeros(batch.labels.shape, dtype=torch.int64)
    for index, row in enumerate(rows):
        if row.masks:
            found = [known.setdefault(mask, len(known)) for mask in row.masks[1:]]
            place[index, : len(found)] = torch.tensor(found)
    size = max(map(len, known))
    packed = b"".join(mask or b"\xff" * size for mask in known)
    table = torch.frombuffer(bytearray(packed), dtype=torch.uint8).view(len(known), size)
    return batch._replace(extra={**batch.extra, "mask": place}, masks=table)
