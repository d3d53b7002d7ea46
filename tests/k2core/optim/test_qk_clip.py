from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from k2core.optim.qk_clip import (
    ClipEvent,
    clip_factors,
    list_events,
    row_scales,
    scale_rows,
)

HEADS, NOPE, ROPE, V, Q_RANK, KV_RANK = 3, 8, 4, 6, 10, 12


def head_logits(query_up: torch.Tensor, key_value_up: torch.Tensor) -> torch.Tensor:
    """Logits [heads, s, t] of MLA: nope part through the latent, rope part through a shared key."""
    generator = torch.Generator().manual_seed(7)
    q_latent = torch.randn(5, Q_RANK, generator=generator, dtype=torch.float64)
    kv_latent = torch.randn(5, KV_RANK, generator=generator, dtype=torch.float64)
    shared_rope_key = torch.randn(5, ROPE, generator=generator, dtype=torch.float64)
    q = (q_latent @ query_up.T).view(5, HEADS, NOPE + ROPE)
    k = (kv_latent @ key_value_up.T).view(5, HEADS, NOPE + V)[:, :, :NOPE]
    nope = torch.einsum("shd,thd->hst", q[:, :, :NOPE], k)
    return nope + torch.einsum("shd,td->hst", q[:, :, NOPE:], shared_rope_key)


def random_up_projections() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(8)
    return (
        torch.randn(HEADS * (NOPE + ROPE), Q_RANK, generator=generator, dtype=torch.float64),
        torch.randn(HEADS * (NOPE + V), KV_RANK, generator=generator, dtype=torch.float64),
    )


def clip_heads(query_up: torch.Tensor, key_value_up: torch.Tensor, factors: torch.Tensor) -> None:
    scales = row_scales(factors, NOPE, ROPE, V)
    scale_rows(query_up.view(-1), scales.query_up, Q_RANK)
    scale_rows(key_value_up.view(-1), scales.key_value_up, KV_RANK)


def test_a_clipped_heads_logits_scale_by_exactly_g() -> None:
    query_up, key_value_up = random_up_projections()
    before = head_logits(query_up, key_value_up)
    values_before = key_value_up.view(HEADS, NOPE + V, -1)[:, NOPE:].clone()
    tau = before.amax((1, 2)).sort().values[1].item() * 0.9  # two of three heads exceed it
    factors = clip_factors(before.amax((1, 2)), tau)
    clip_heads(query_up, key_value_up, factors)
    after = head_logits(query_up, key_value_up)
    torch.testing.assert_close(after, before * factors[:, None, None], rtol=1e-12, atol=1e-12)
    assert (factors < 1).sum() == 2
    assert after.amax((1, 2)).max().item() <= tau * (1 + 1e-9)
    assert torch.equal(key_value_up.view(HEADS, NOPE + V, -1)[:, NOPE:], values_before)


def test_heads_at_or_below_zero_are_left_alone() -> None:
    factors = clip_factors(torch.tensor([-3.0, 0.0, -torch.inf, 5.0]), tau=2.0)
    assert factors.tolist() == [1.0, 1.0, 1.0, 0.4000000059604645]
    query_up, key_value_up = random_up_projections()
    untouched = query_up.clone(), key_value_up.clone()
    clip_heads(query_up, key_value_up, torch.ones(HEADS))
    assert torch.equal(query_up, untouched[0])
    assert torch.equal(key_value_up, untouched[1])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.floats(1e-3, 1e3))
def test_factors_bound_every_head(logits: list[float], tau: float) -> None:
    seen = torch.tensor(logits, dtype=torch.float64)
    factors = clip_factors(seen, tau)
    assert bool(((factors > 0) & (factors <= 1)).all())
    assert bool((seen * factors <= tau * (1 + 1e-9)).all())
    assert bool((factors[seen <= tau] == 1).all())


@given(st.lists(st.integers(0, 60), max_size=3), st.integers(1, 7))
def test_flat_slices_are_clipped_as_the_whole_matrix_is(cuts: list[int], columns: int) -> None:
    """A ZeRO-1 shard begins and ends anywhere, also in the middle of a row or of a head."""
    scales = torch.linspace(0.1, 1.0, 60 // columns, dtype=torch.float64)
    whole = torch.arange(1.0, len(scales) * columns + 1, dtype=torch.float64)
    expected = (whole.view(len(scales), columns) * scales[:, None]).flatten()
    ends = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    for start, stop in pairwise(ends):
        scale_rows(whole[start:stop], scales, columns, start)
    torch.testing.assert_close(whole, expected, rtol=0, atol=0)


def test_events_name_layer_head_and_factor() -> None:
    logits = torch.tensor([1.0, 8.0, 2.0])
    events = list_events(4, logits, clip_factors(logits, 4.0))
    assert events == [ClipEvent(4, 1, 8.0, 0.5)]
