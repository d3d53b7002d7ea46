"""QK-Clip: bound attention logits by rescaling the heads that exceed a threshold."""

from typing import NamedTuple

import torch
from torch import Tensor


class ClipEvent(NamedTuple):
    """One head, rescaled: its logit was `max_logit`, and `factor` times that from now on."""

    layer: int
    head: int
    max_logit: float
    factor: float


def clip_factors(max_logits: Tensor, tau: float) -> Tensor:
    """The factor g = min(1, tau / S) of each head (arXiv:2507.20534, algorithm 1, line 12).

    A head whose largest logit is zero or below is left alone (g = 1): a plain tau / S would give
    infinity or a flipped sign there.

    Args:
        max_logits: S [heads], the largest scaled, pre-softmax logit of each head, signed.
        tau: the threshold, above zero.
    """
    return torch.where(max_logits > tau, tau / max_logits.clamp_min(tau), 1.0)


def share_factors(factors: Tensor) -> Tensor:
    """Each layer's smallest factor for all its heads: the naive form that K2 refines.

    The report clips per head because few heads of a layer explode (arXiv:2507.20534, section 2.1).

    Args:
        factors: g [layers, heads].
    """
    return factors.amin(-1, keepdim=True).expand_as(factors)


class RowScales(NamedTuple):
    """What QK-Clip multiplies the rows of a layer's two up-projections by."""

    query_up: Tensor
    """[heads * (qk_nope + qk_rope)]."""
    key_value_up: Tensor
    """[heads * (qk_nope + v)]."""


def row_scales(factors: Tensor, qk_nope: int, qk_rope: int, v: int) -> RowScales:
    """MLA's split: so scaled, each head's logits scale by exactly its g.

    Wq_nope *= sqrt(g), Wk_nope *= sqrt(g), Wq_rope *= g (arXiv:2507.20534, section 2.1). The
    rotary key is shared by all heads and the values carry no logit: both are left alone.

    Args:
        factors: g [heads].
        qk_nope: width without position, a head.
        qk_rope: width with rotary position, a head.
        v: width of the values, a head.
    """
    g = factors[:, None]
    root, one = g.sqrt(), torch.ones_like(g)
    query = torch.cat([root.expand(-1, qk_nope), g.expand(-1, qk_rope)], 1)
    key_value = torch.cat([root.expand(-1, qk_nope), one.expand(-1, v)], 1)
    return RowScales(query.flatten(), key_value.flatten())


@torch.no_grad()
def scale_rows(flat: Tensor, scales: Tensor, columns: int, start: int = 0) -> None:
    """Scale a flat slice of a matrix in place, each element by its row's factor.

    Args:
        flat: elements `start` to `start + len(flat)` of a row-major matrix [rows, columns]; a
            ZeRO-1 shard need not begin or end with a row.
        scales: [rows].
        columns: elements a row.
        start: the slice's first element.
    """
    first, stop = start // columns, -(-(start + flat.numel()) // columns)
    factors = scales[first:stop].to(flat.dtype).repeat_interleave(columns)
    flat.mul_(factors[start - first * columns :][: flat.numel()])


def list_events(layer: int, max_logits: Tensor, factors: Tensor) -> list[ClipEvent]:
    """The heads of a layer that a step rescaled."""
    heads = torch.nonzero(factors < 1).flatten().tolist()
    return [ClipEvent(layer, h, float(max_logits[h]), float(factors[h])) for h in heads]
