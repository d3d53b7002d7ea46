"""The core attention of GPUs: Transformer Engine's fused kernel, segment by segment."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from k2core.engines.megatron.attention import Attended, CoreAttention, runs_of
from k2core.engines.megatron.batch import PADDING
from k2core.engines.megatron.context import RankChunk, gather_rows, own_chunks

if TYPE_CHECKING:
    from megatron.core.transformer.transformer_config import TransformerConfig
    from transformer_engine.pytorch import DotProductAttention


class PackedSequences(NamedTuple):
    """Where the sequences of rows laid end to end lie, as Transformer Engine wants it ("thd").

    Queries of a chunk [B * chunk, h, d] attend keys of whole rows [B * S, h, d]. Per sequence
    first what is before it, then, last, the sum: lengths alone (`cu_seqlens`), and where it starts
    (`starts`), which differs by what belongs to no sequence.
    """

    cu_seqlens_q: Tensor
    cu_seqlens_kv: Tensor
    starts_q: Tensor
    starts_kv: Tensor
    longest_q: int
    longest_kv: int


def pack_sequences(segments: Tensor, chunk: RankChunk) -> PackedSequences:
    """A chunk's share of every segment; its keys go from the segment's first to its last query.

    Args:
        segments: [B, S] segment of each token, in runs; padding is in no sequence.
        chunk: of each row, that the queries are.
    """
    width, length = segments.size(1), chunk.stop - chunk.start
    queries, keys = [], []
    for row, first, end in runs_of(segments):
        start, stop = max(first, chunk.start), min(end, chunk.stop)
        if start < stop:
            queries.append((row * length + start - chunk.start, stop - start))
            keys.append((row * width + first, stop - first))
    (lengths_q, starts_q), (lengths_kv, starts_kv) = (
        _cumulate(found, segments.size(0) * size, segments.device)
        for found, size in ((queries, length), (keys, width))
    )
    longest_q, longest_kv = (max((n for _, n in x), default=0) for x in (queries, keys))
    return PackedSequences(lengths_q, lengths_kv, starts_q, starts_kv, longest_q, longest_kv)


def _cumulate(
    found: list[tuple[int, int]], total: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([0, *(length for _, length in found)]).cumsum(0)
    starts = torch.tensor([*(start for start, _ in found), total])
    return (lengths.to(device, torch.int32), starts.to(device, torch.int32))


def fused_kernel(
    heads: int, widths: tuple[int, int], scale: float, layer: int
) -> "DotProductAttention":
    """Transformer Engine's attention, which reports the largest logit of each head (2.9 on).

    Args:
        heads: of this rank.
        widths: of a key and of a value.
        scale: of the logits.
        layer: its number, from 1.
    """
    from transformer_engine.pytorch import DotProductAttention

    return DotProductAttention(
        heads,
        widths,
        qkv_format="thd",
        attn_mask_type="padding_causal",
        softmax_scale=scale,
        layer_number=layer,
        return_max_logit=True,
    )


def has_fused_kernel() -> bool:
    """Whether there is a GPU, and Transformer Engine for it."""
    if not torch.cuda.is_available():
        return False
    try:
        import transformer_engine.pytorch  # noqa: F401
    except ImportError:
        return False
    return True


class FusedAttention(CoreAttention):
    """`CoreAttention` by Transformer Engine, in 16 bits; its largest logits are in 16 bits as well.

    Never run on a GPU so far; the tests put the kernel's documented meaning in its place. Queries
    of a chunk are the last of the keys that they are given, so the causal mask is aligned to the
    bottom right; for a whole row that is the plain one.
    """

    folds = False

    def __init__(
        self,
        config: "TransformerConfig",
        layer_number: int,
        *args: object,
        k_channels: int,
        v_channels: int,
        softmax_scale: float,
        **kw: object,
    ) -> None:
        super().__init__(config, layer_number, *args, softmax_scale=softmax_scale, **kw)
        heads = config.num_attention_heads // config.tensor_model_parallel_size
        widths = k_channels, v_channels
        self.kernel = fused_kernel(heads, widths, self.softmax_scale, layer_number)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, segments: Tensor) -> Attended:
        """See `CoreAttention.attend`; where ranks share rows, the kernel runs anew backwards.

        Otherwise each layer would keep the keys and values of whole rows for it.
        """
        if key.size(0) == segments.size(1):
            return self._attend_rows(query, key, value, segments)
        found = checkpoint(self._attend_rows, query, key, value, segments, use_reentrant=False)
        return Attended(*found)

    def _attend_rows(self, query: Tensor, key: Tensor, value: Tensor, segments: Tensor) -> Attended:
        whole = (gather_rows(x, 0, summed=True) for x in (key, value))
        keys, values = (x.transpose(0, 1).flatten(0, 1) for x in whole)  # b*s h d
        chunks = own_chunks(segments.size(1))
        found = [self._attend_chunk(query, keys, values, segments, chunk) for chunk in chunks]
        outs, largest = zip(*found, strict=True)
        return Attended(torch.cat(outs), torch.stack(largest).amax(0))

    def _attend_chunk(
        self, query: Tensor, keys: Tensor, values: Tensor, segments: Tensor, chunk: RankChunk
    ) -> Attended:
        length, num_rows = chunk.stop - chunk.start, segments.size(0)
        packed = pack_sequences(segments, chunk)
        if packed.longest_q == 0:  # all is padding, and the kernel wants a sequence
            out = values.new_zeros(length, num_rows, *values.shape[1:])
            return Attended(out, values.new_full(values.shape[1:2], -torch.inf).float())
        queries = query.narrow(0, chunk.place, length).transpose(0, 1).flatten(0, 1)  # b*q h d
        whole = length == segments.size(1)
        out, largest = self.kernel(
            queries,
            keys,
            values,
            attn_mask_type="padding_causal" if whole else "padding_causal_bottom_right",
            cu_seqlens_q=packed.cu_seqlens_q,
            cu_seqlens_kv=packed.cu_seqlens_kv,
            cu_seqlens_q_padded=packed.starts_q,
            cu_seqlens_kv_padded=packed.starts_kv,
            max_seqlen_q=packed.longest_q,
            max_seqlen_kv=packed.longest_kv,
        )
        out = out.view(num_rows, length, query.size(2), -1).transpose(0, 1)  # q b h dv
        padding = (segments == PADDING)[:, chunk.start : chunk.stop].T[..., None, None]
        return Attended(out.masked_fill(padding, 0), largest.detach().float())
