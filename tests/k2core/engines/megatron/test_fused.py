"""The GPU's core attention, with the documented meaning of Transformer Engine's kernel for it."""

from typing import Any

import pytest
import torch
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor

from k2core.engines.megatron import attention, fused, spec
from k2core.engines.megatron.architecture import megatron_config
from k2core.engines.megatron.attention import CoreAttention
from k2core.engines.megatron.context import RankChunk
from k2core.engines.megatron.fused import FusedAttention, pack_sequences
from k2core.engines.megatron.process_group import join_ranks
from schemas.model import ModelShape
from schemas.placement import Placement

HEADS, KEY, VALUE, WIDTH = 3, 6, 4, 16
SEGMENTS = torch.tensor([[0] * 5 + [1] * 11, [0] * 9 + [2] * 4 + [-1] * 3, [-1] * 16])
ALONE = Placement(num_ranks=1)
WHOLE = [RankChunk(0, 16, 0)]
SHARED = [RankChunk(4, 8, 0), RankChunk(8, 12, 4)]


class DocumentedKernel:
    """thd attention as Transformer Engine documents it, in plain torch; NaN where it is silent."""

    def __init__(self, heads: int, widths: tuple[int, int], scale: float, layer: int) -> None:
        assert (heads, widths, layer) == (HEADS, (KEY, VALUE), 1)
        self.scale = scale

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, attn_mask_type: str, **where: Any
    ) -> tuple[Tensor, Tensor]:
        out = torch.full((len(query), HEADS, VALUE), float("nan"))
        largest = torch.full((HEADS,), -torch.inf)
        num_q, num_kv = (where[f"cu_seqlens_{x}"].diff().tolist() for x in ("q", "kv"))
        assert where["max_seqlen_q"] == max(num_q, default=0)
        assert where["max_seqlen_kv"] == max(num_kv, default=0)
        starts = (where[f"cu_seqlens_{x}_padded"].tolist() for x in ("q", "kv"))
        for (nq, sq), (nk, sk) in zip(
            *(zip(n, s[:-1], strict=True) for n, s in zip((num_q, num_kv), starts, strict=True)),
            strict=True,
        ):
            q, k, v = query[sq : sq + nq], key[sk : sk + nk], value[sk : sk + nk]
            shift = {"padding_causal": 0, "padding_causal_bottom_right": nk - nq}[attn_mask_type]
            hidden = torch.ones(nq, nk, dtype=torch.bool).triu(1 + shift)
            logits = torch.einsum("qhd,khd->hqk", q, k) * self.scale
            logits = logits.masked_fill(hidden, -torch.inf)
            out[sq : sq + nq] = torch.einsum("hqk,khd->qhd", logits.softmax(-1), v)
            largest = torch.maximum(largest, logits.amax((1, 2)))
        return out.flatten(1), largest


@pytest.fixture(params=[WHOLE, SHARED], ids=["whole rows", "two chunks of shared rows"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[RankChunk]:
    """A rank's chunks; other ranks' keys and values are what `others` draws."""
    found: list[RankChunk] = request.param
    places = torch.cat([torch.arange(chunk.start, chunk.stop) for chunk in found])

    def gather(part: Tensor, axis: int, **_summed: bool) -> Tensor:
        return others(part.size(1), part.size(3)).index_copy(axis, places, part)

    for module in (attention, fused):
        monkeypatch.setattr(module, "own_chunks", lambda _width: found)
    monkeypatch.setattr(attention, "gather_whole", gather)
    monkeypatch.setattr(attention, "sum_own", lambda whole, axis: whole.index_select(axis, places))
    monkeypatch.setattr(fused, "gather_rows", gather)
    monkeypatch.setattr(fused, "fused_kernel", DocumentedKernel)
    return found


def others(rows: int, width: int) -> Tensor:
    return torch.randn(WIDTH, rows, HEADS, width, generator=torch.Generator().manual_seed(1))


def test_equals_our_own_in_values_logits_and_gradients(chunks: list[RankChunk]) -> None:
    config = TransformerConfig(num_layers=1, hidden_size=12, num_attention_heads=HEADS)
    config.folding = None
    ours = CoreAttention(config, 1, softmax_scale=0.3)
    theirs = FusedAttention(config, 1, softmax_scale=0.3, k_channels=KEY, v_channels=VALUE)
    generator = torch.Generator().manual_seed(0)
    size = sum(chunk.stop - chunk.start for chunk in chunks)
    inputs = [
        torch.randn(size, 3, HEADS, width, generator=generator, requires_grad=True)
        for width in (KEY, KEY, VALUE)
    ]
    found = []
    for core in (ours, theirs):
        out = core(*inputs, SEGMENTS)
        weights = torch.linspace(-1, 1, out.numel()).view_as(out)
        grads = torch.autograd.grad((out * weights).sum(), inputs)
        found.append([out, core.current_max_attn_logits, *grads])
    for wanted, given in zip(*found, strict=True):
        torch.testing.assert_close(given, wanted, rtol=1e-5, atol=1e-6)


def test_sequences_lie_where_rows_end_to_end_have_them() -> None:
    packed = pack_sequences(SEGMENTS, RankChunk(8, 12, 4))
    assert packed.cu_seqlens_q.tolist() == [0, 4, 5, 8]
    assert packed.starts_q.tolist() == [0, 4, 5, 12]
    assert packed.cu_seqlens_kv.tolist() == [0, 7, 16, 19]
    assert packed.starts_kv.tolist() == [5, 16, 25, 48]
    assert (packed.longest_q, packed.longest_kv) == (4, 9)
    nothing = pack_sequences(SEGMENTS[2:], RankChunk(0, 16, 0))
    assert (nothing.starts_q.tolist(), nothing.longest_q) == ([16], 0)


@pytest.mark.parametrize(
    ("has_kernel", "dtype", "wanted"),
    [
        (True, torch.bfloat16, FusedAttention),
        (True, torch.float32, CoreAttention),
        (False, torch.bfloat16, CoreAttention),
    ],
)
def test_the_spec_takes_it_where_it_can_run(
    has_kernel: bool,
    dtype: torch.dtype,
    wanted: type,
    shape: ModelShape,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spec, "has_fused_kernel", lambda: has_kernel)
    join_ranks(ALONE)
    layers = spec.block_spec(megatron_config(shape, ALONE, dtype)).layer_specs
    taken = {layer.submodules.self_attention.submodules.core_attention for layer in layers}
    assert taken == {wanted}


def test_padding_alone_is_not_given_to_the_kernel(chunks: list[RankChunk]) -> None:
    config = TransformerConfig(num_layers=1, hidden_size=12, num_attention_heads=HEADS)
    core = FusedAttention(config, 1, softmax_scale=0.3, k_channels=KEY, v_channels=VALUE)
    size = sum(chunk.stop - chunk.start for chunk in chunks)
    query, value = torch.ones(size, 1, HEADS, KEY), torch.ones(size, 1, HEADS, VALUE)
    out, largest = core.attend(query, query, value, SEGMENTS[2:])
    assert out.shape == (size, 1, HEADS, VALUE)
    assert not out.any()
    assert largest.tolist() == [-torch.inf] * HEADS
