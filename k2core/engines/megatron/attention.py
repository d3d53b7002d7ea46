"""MLA's core attention over packed rows, with the largest logit of each head."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from megatron.core.transformer.module import MegatronModule
from torch import Tensor

from k2core.engines.megatron.batch import PADDING
from k2core.engines.megatron.context import RankChunk, gather_whole, own_chunks, sum_own
from k2core.engines.megatron.seams import Context

if TYPE_CHECKING:
    from megatron.core.transformer.transformer_config import TransformerConfig

_QUERY_BLOCK = 128


class Attended(NamedTuple):
    """What the core attention makes of queries, keys and values."""

    out: Tensor
    """[q, b, h, dv], 0 in padding."""
    largest: Tensor
    """[h], each head's largest scaled logit; -inf where all is padding."""


class Run(NamedTuple):
    """Tokens `first` to `end` of a row that make up a segment."""

    row: int
    first: int
    end: int


def runs_of(segments: Tensor) -> list[Run]:
    """The segments of rows, in order; padding is in none.

    Args:
        segments: [B, S] segment of each token, in runs.
    """
    width = segments.size(1)
    changes = torch.ones_like(segments, dtype=torch.bool)
    changes[:, 1:] = segments[:, 1:] != segments[:, :-1]
    starts = changes.flatten().nonzero().flatten()
    ends = torch.cat([starts[1:], starts.new_tensor([changes.numel()])])
    row = starts // width
    found = torch.stack([row, starts - row * width, ends - row * width], 1)
    used = segments.flatten()[starts] != PADDING
    return [Run(*run) for run in found[used].tolist()]


class Span(NamedTuple):
    """Keys from `start` to `stop`."""

    start: int
    stop: int


class QueryBlock(NamedTuple):
    """Queries of a row, which see all keys of some spans, of the last those up to their own.

    The last span ends with the keys of the queries themselves. `place` is where this rank holds
    the first query.
    """

    row: int
    spans: tuple[Span, ...]
    size: int
    place: int

    def take(self, keys: Sequence[Tensor]) -> Tensor:
        """Those that are seen [h, k, d], of rows [h, s, d]; a view where there is one span."""
        parts = [keys[self.row].narrow(1, s.start, s.stop - s.start) for s in self.spans]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def add(self, sums: Tensor, left: Tensor, right: Tensor, scale: float) -> None:
        """Add a product [h, k, d], times `scale`, to those that are seen, of rows [b, h, s, d]."""
        seen = 0
        for start, stop in self.spans:
            size = stop - start
            part = left.narrow(1, seen, size)
            sums[self.row].narrow(1, start, size).baddbmm_(part, right, alpha=scale)
            seen += size


def cut_queries(
    row: int, trunk: tuple[Span, ...], first: int, end: int, chunk: RankChunk | None = None
) -> Iterator[QueryBlock]:
    """Blocks of the queries from `first` to `end`, which see the trunk and what is before them.

    Args:
        row: theirs.
        trunk: spans of keys before them.
        first: where they begin.
        end: where they end.
        chunk: what this rank has of the row; None: all.
    """
    chunk = chunk or RankChunk(0, end, 0)
    stop = min(end, chunk.stop)
    for start in range(max(first, chunk.start), stop, _QUERY_BLOCK):
        last = min(start + _QUERY_BLOCK, stop)
        spans = _joined((*trunk, Span(first, last)))
        yield QueryBlock(row, spans, last - start, chunk.place + start - chunk.start)


def blocks_of(segments: Tensor, chunks: Sequence[RankChunk]) -> list[QueryBlock]:
    """Each segment in blocks of queries; padding is in none.

    Args:
        segments: [B, S] segment of each token, in runs; rotary positions need no reset, being
            relative.
        chunks: of a row, that this rank's queries are.
    """
    return [
        block
        for row, first, end in runs_of(segments)
        for chunk in chunks
        for block in cut_queries(row, (), first, end, chunk)
    ]


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Neighbours as one."""
    found = [spans[0]]
    for span in spans[1:]:
        if span.start == found[-1].stop:
            found[-1] = Span(found[-1].start, span.stop)
        else:
            found.append(span)
    return tuple(found)


class _Blocks(Context, Protocol):
    blocks: Sequence[QueryBlock]
    scale: float


class PackedAttention(torch.autograd.Function):
    """softmax(q k^T) v, causal within blocks, and the largest logit of each head.

    torch's fused attention on CPU refuses MLA's unequal head widths (keys 48, values 32), falls
    back to this same arithmetic with a mask over whole rows, and does not report logits.

    Context-parallel ranks hold parts of each row: keys and values are gathered in either pass, so
    that between the two only a rank's own are kept, or are left to selective recomputation.
    """

    @staticmethod
    def forward(
        ctx: _Blocks,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        blocks: Sequence[QueryBlock],
        scale: float,
    ) -> tuple[Tensor, Tensor]:
        """Attend queries [q, b, h, d] to keys [q, b, h, d] with values [q, b, h, dv].

        Returns:
            [q, b, h, dv], 0 outside of the blocks; and [h], -inf without any block.
        """
        out = value.new_zeros(query.shape[:3] + value.shape[3:])
        largest = query.new_full(query.shape[2:3], -math.inf)
        queries, outs = _by_row(query), _by_row(out)
        keys, values = (_by_row(gather_whole(x, 0)) for x in (key, value))
        kept, later = [], _LaterKeys(query.device)
        for block in blocks:
            row, _, size, place = block
            q = queries[row].narrow(1, place, size)  # h q d
            k, v = block.take(keys), block.take(values)
            logits = torch.bmm(q * scale, k.mT)  # h q k
            own = logits.narrow(2, k.size(1) - size, size)
            own.masked_fill_(later.mask(size), -math.inf)
            largest = torch.maximum(largest, logits.amax((1, 2)))
            weights = torch.softmax(logits, -1)
            outs[row].narrow(1, place, size).copy_(torch.bmm(weights, v))
            kept.append(weights)
        ctx.save_for_backward(query, key, value, *kept)
        ctx.blocks, ctx.scale = blocks, scale
        ctx.mark_non_differentiable(largest)
        return out, largest

    @staticmethod
    def backward(
        ctx: _Blocks, grad: Tensor, _grad_largest: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Softmax's gradient W * (dW - sum(dW * W)), from the saved weights W."""
        query, key, value, *kept = ctx.saved_tensors
        key, value = gather_whole(key, 0), gather_whole(value, 0)
        # b h s d, each row's products added where they belong
        dq, dk, dv = (x.new_zeros(*x.shape[1:3], len(x), x.size(3)) for x in (query, key, value))
        grads, queries, keys, values = (_by_row(x) for x in (grad, query, key, value))
        for block, weights in zip(ctx.blocks, kept, strict=True):
            row, _, size, place = block
            g, q, own_q = (x[row].narrow(1, place, size) for x in (grads, queries, dq))  # h q d
            k, v = block.take(keys), block.take(values)
            grad_weights = torch.bmm(g, v.mT)
            grad_logits = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            own_q.baddbmm_(grad_logits, k, alpha=ctx.scale)
            block.add(dk, grad_logits.mT, q, ctx.scale)
            block.add(dv, weights.mT, g, 1.0)
        dk, dv = sum_own(dk, 2), sum_own(dv, 2)
        dq, dk, dv = (x.permute(2, 0, 1, 3) for x in (dq, dk, dv))
        return dq, dk, dv, None, None


class CoreAttention(MegatronModule):
    """Scaled dot product over what MLA hands down, segment by segment.

    Megatron's local DotProductAttention refuses MLA (`k_channels`), and only Transformer Engine's
    reports logits. `current_max_attn_logits` [heads] grows over micro-batches until it is taken.
    """

    folds = True
    """Whether it knows the branches of folded rows."""

    def __init__(
        self,
        config: "TransformerConfig",
        layer_number: int,
        *_args: object,
        softmax_scale: float,
        **_kwargs: object,
    ) -> None:
        super().__init__(config=config)
        self.layer_number = layer_number
        self.softmax_scale = softmax_scale
        self.current_max_attn_logits: Tensor | None = None

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **_kwargs: object
    ) -> Tensor:
        """Attend [s, b, heads, d] causally within segments; returns [s, b, heads * d_v].

        In the place of a mask Megatron hands through what the trainer gave: segments [b, s] of
        whole rows. Where ranks share sequences, queries stay and keys and values are gathered.
        """
        out, largest = self.attend(query, key, value, attention_mask)
        if self.training:
            self._record(largest)
        return torch.flatten(out, 2)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, segments: Tensor) -> Attended:
        """Attend this rank's queries [q, b, h, d] to all ranks' keys and values [q, b, h, d]."""
        folding = self.config.folding
        blocks = folding.blocks if folding else blocks_of(segments, own_chunks(segments.size(1)))
        out, largest = PackedAttention.apply(  # type: ignore[no-untyped-call]
            query, key, value, blocks, self.softmax_scale
        )
        return Attended(out, largest)

    def _record(self, largest: Tensor) -> None:
        """S = max over the batch of the scaled logit q.k (arXiv:2507.20534, equation 1)."""
        seen = self.current_max_attn_logits
        self.current_max_attn_logits = largest if seen is None else torch.maximum(seen, largest)


def _by_row(x: Tensor) -> tuple[Tensor, ...]:
    """Views [h, s, d] of each row of [s, b, h, d]."""
    return x.permute(1, 2, 0, 3).unbind()


class _LaterKeys:
    """Masks [width, width], true where the key comes after the query; one a width."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._masks = device, dict[int, Tensor]()

    def mask(self, width: int) -> Tensor:
        """Of that width."""
        if width not in self._masks:
            ones = torch.ones(width, width, dtype=torch.bool, device=self._device)
            self._masks[width] = ones.triu_(1)
        return self._masks[width]
