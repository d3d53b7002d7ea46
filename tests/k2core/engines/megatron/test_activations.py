"""What is recomputed changes nothing; what is kept in FP8 changes little, and is small."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from k2core.engines.megatron.batch import Batch
from k2core.engines.megatron.fp8_storage import pack, unpack
from k2core.engines.megatron.lean import SwigluExperts
from k2core.engines.megatron.swiglu import gated_swiglu, swiglu
from k2core.engines.megatron.trainer import Trainer
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement
from tests.k2core.engines.megatron.closeness import assert_trained_alike

BatchMaker = Callable[..., Batch]


@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_recomputation_changes_no_step(
    shape: ModelShape, make_batch: BatchMaker, recompute: str
) -> None:
    """Losses, logits, router loads and clips, over micro-batches."""
    config = OptimConfig(qk_clip_tau=0.05)
    trainers = [
        Trainer(
            shape,
            config,
            seed=0,
            placement=Placement.model_validate(
                {"num_ranks": 1, "micro_batch": 2, "recompute": how}
            ),
        )
        for how in ("none", recompute)
    ]
    for seed in range(3):
        kept, anew = (trainer.step(make_batch(seed), 2e-3) for trainer in trainers)
        assert anew.loss == pytest.approx(kept.loss, abs=1e-6)
        assert anew.grad_norm == pytest.approx(kept.grad_norm, rel=1e-6)
        assert [c[:2] for c in anew.clips] == [c[:2] for c in kept.clips]
    weights, again = (trainer.export_weights() for trainer in trainers)
    assert_trained_alike(again, weights, lr=2e-3)
    probes = [trainer.logprobs(make_batch(9)) for trainer in trainers]
    torch.testing.assert_close(*probes, rtol=0, atol=1e-5)


def test_less_is_kept(shape: ModelShape, make_batch: BatchMaker) -> None:
    """Net bytes of a forward pass, as torch's allocator saw them."""
    batch, kept = make_batch(0, rows=8, width=96), dict[str, int]()
    for how, fp8 in (("none", False), ("selective", False), ("selective", True), ("full", False)):
        placement = Placement.model_validate({"num_ranks": 1, "recompute": how})
        trainer = Trainer(shape, OptimConfig(fp8_storage=fp8), seed=0, placement=placement)
        kept[f"{how} {fp8}"] = _net_bytes(trainer, batch)
    none, selective, packed, full = kept.values()
    assert full < packed < selective < none
    assert selective < 0.8 * none


def _net_bytes(trainer: Trainer, batch: Batch) -> int:
    profiling = torch.profiler.profile(profile_memory=True)
    with profiling as profile, torch.profiler.record_function("work"):
        held = trainer._forward(batch, counted=True, labels=True)
    del held
    found: int = next(e.cpu_memory_usage for e in profile.key_averages() if e.key == "work")
    return found


def test_swiglus_gradients_are_autograds_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    both = torch.randn(40, 2 * 32, generator=generator, requires_grad=True)
    column = torch.rand(40, 1, generator=generator, requires_grad=True)
    gate, up = both.chunk(2, -1)
    product = torch.nn.functional.silu(gate) * up
    cotangent = torch.randn(product.shape, generator=generator)
    for ours, theirs, leaves in (
        (swiglu(both), product, [both]),
        (gated_swiglu(both, column), product * column, [both, column]),
    ):
        assert torch.equal(ours, theirs)
        found = torch.autograd.grad(ours, leaves, cotangent)
        expected = torch.autograd.grad(theirs, leaves, cotangent, retain_graph=True)
        assert all(map(torch.equal, found, expected))


def test_experts_gradients_are_autograds() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = [(10, 16), (3, 2 * 24, 16), (3, 16, 24), (10,)]
    leaves = [torch.randn(size, generator=generator, requires_grad=True) for size in sizes]
    ends = torch.tensor([4, 4, 10], dtype=torch.int32)  # the second expert has no token

    def plain(hidden: Tensor, up: Tensor, down: Tensor, gates: Tensor) -> Tensor:
        starts, parts = [0, 4, 4], []
        for expert, (start, end) in enumerate(zip(starts, ends.tolist(), strict=True)):
            inner = swiglu(hidden[start:end] @ up[expert].T) * gates[start:end, None]
            parts.append(inner @ down[expert].T)
        return torch.cat(parts)

    expected = plain(*leaves)
    found = SwigluExperts.apply(*leaves, ends)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, expected)
    cotangent = torch.randn(found.shape, generator=generator)
    ours = torch.autograd.grad(found, leaves, cotangent)
    for mine, theirs in zip(ours, torch.autograd.grad(expected, leaves, cotangent), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("width", [128, 192, 20])
def test_packing_rounds_each_tile_to_its_own_scale(width: int) -> None:
    x = torch.randn(7, width, generator=torch.Generator().manual_seed(0))
    x[1] *= 1e4
    x[2] *= 1e-6
    x[3] = 0
    packed = pack(x)
    assert packed.values.dtype == torch.float8_e4m3fn
    assert packed.values.shape == x.shape
    assert packed.values.untyped_storage().nbytes() == x.numel()
    assert packed.scales.shape == (7, -(-width // 128))
    again = unpack(packed)
    for row in range(7):
        for start in range(0, width, 128):
            tile, rounded = x[row, start : start + 128], again[row, start : start + 128]
            # 3 bits of mantissa round by 1/16 at most, subnormals by half of 2^-9 of the scale
            bound = torch.maximum(tile.abs() / 16, tile.abs().max() / 448 * 2**-10)
            assert bool(((tile - rounded).abs() <= bound * (1 + 1e-5)).all())
    assert again[3].count_nonzero() == 0
    assert unpack(pack(x.bfloat16())).dtype == torch.bfloat16


def test_a_model_learns_with_packed_activations(shape: ModelShape, make_batch: BatchMaker) -> None:
    batch, losses = make_batch(0), dict[bool, list[float]]()
    for fp8 in (False, True):
        trainer = Trainer(shape, OptimConfig(fp8_storage=fp8), seed=0)
        losses[fp8] = [trainer.step(batch, 5e-3).loss for _ in range(15)]
    assert losses[True][0] == pytest.approx(losses[False][0], abs=1e-6)  # the forward is the same
    assert losses[True] != losses[False]
    assert losses[True][-1] == pytest.approx(losses[False][-1], abs=0.1)
