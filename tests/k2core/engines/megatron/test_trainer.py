import math
from collections.abc import Callable

import pytest
import torch

from k2core.engines.megatron.batch import (
    PADDING,
    Batch,
    NonFiniteError,
    ObjectiveValue,
    language_model_loss,
)
from k2core.engines.megatron.group_norms import GROUPS, group_of
from k2core.engines.megatron.trainer import Trainer
from k2core.model.digest import tensors_digest
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement

BatchMaker = Callable[..., Batch]
STILL = 1e-12
"""A learning rate at which only QK-Clip moves the weights."""


def test_the_model_learns(shape: ModelShape, make_batch: BatchMaker) -> None:
    trainer, batch = Trainer(shape, OptimConfig(), seed=0), make_batch(0)
    losses = [trainer.step(batch, 5e-3).loss for _ in range(15)]
    assert losses[-1] < 0.5 * losses[0]


def test_no_token_sees_another_segment_or_the_future(
    shape: ModelShape, make_batch: BatchMaker
) -> None:
    trainer, batch = Trainer(shape, OptimConfig(), seed=0), make_batch(0, rows=1)
    seam = 24 // 3
    plain = trainer.logprobs(batch)
    first, last = batch.tokens.clone(), batch.tokens.clone()
    first[:, :seam] = (first[:, :seam] + 1) % 300
    last[:, -1] = (last[:, -1] + 1) % 300
    changed = trainer.logprobs(batch._replace(tokens=first))
    assert torch.allclose(changed[:, seam:], plain[:, seam:], atol=1e-5)
    assert not torch.allclose(changed[:, :seam], plain[:, :seam], atol=1e-2)
    assert torch.allclose(trainer.logprobs(batch._replace(tokens=last))[:, :-1], plain[:, :-1])


def test_a_segment_alone_gives_the_same_logprobs(shape: ModelShape, make_batch: BatchMaker) -> None:
    trainer, batch = Trainer(shape, OptimConfig(), seed=0), make_batch(0, rows=1)
    alone = batch.map(lambda t: t[:, 24 // 3 :])
    packed = trainer.logprobs(batch)[:, 24 // 3 :]
    # Rotary positions are relative: packing shifts them and changes nothing.
    assert torch.allclose(trainer.logprobs(alone), packed, atol=1e-5)


def test_logits_are_skipped_only_where_no_label_counts(
    shape: ModelShape, make_batch: BatchMaker
) -> None:
    trainer, batch = Trainer(shape, OptimConfig(), seed=0), make_batch(0)
    mask = (torch.arange(batch.labels.numel()).view(batch.labels.shape) % 3 == 0).float()
    found = []
    for counts in (None, mask):
        trainer.model.zero_grad(set_to_none=True)
        given = batch if counts is None else batch._replace(loss_mask=counts)
        losses = trainer._forward(given, counted=counts is not None, labels=True)
        logprobs = -losses * mask
        logprobs.sum().backward()
        found.append((logprobs.detach(), {n: p.grad for n, p in trainer.model.named_parameters()}))
    (all_of_them, gradients), (some, sparse) = found
    assert torch.allclose(all_of_them, some, atol=1e-6)
    assert some.count_nonzero() == mask.count_nonzero()
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, sparse[name], atol=1e-5), name


@pytest.mark.parametrize("micro_batch", [1, 2])
def test_micro_batches_and_padding_change_nothing(
    shape: ModelShape, make_batch: BatchMaker, micro_batch: int
) -> None:
    config = OptimConfig(qk_clip_tau=0.05)
    whole = Trainer(shape, config, seed=0, placement=Placement(num_ranks=1, micro_batch=8))
    parts = Trainer(
        shape, config, seed=0, placement=Placement(num_ranks=1, micro_batch=micro_batch)
    )
    for seed in range(3):
        batch = make_batch(seed)
        wider = batch.map(lambda t: torch.nn.functional.pad(t, (0, 5)))
        wider = wider._replace(
            segments=torch.nn.functional.pad(batch.segments, (0, 5), value=PADDING)
        )
        ours, theirs = whole.step(batch, 2e-3), parts.step(wider, 2e-3)
        assert ours.loss == pytest.approx(theirs.loss, abs=1e-5)
        assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=1e-4)
        assert [c[:2] for c in ours.clips] == [c[:2] for c in theirs.clips]
        assert ours.tokens == theirs.tokens
    for name, weight in whole.export_weights().items():
        torch.testing.assert_close(parts.export_weights()[name], weight, rtol=0, atol=1e-5)


def test_a_forced_clip_brings_heads_to_tau_and_leaves_the_others(
    shape: ModelShape, make_batch: BatchMaker
) -> None:
    batch, probe = make_batch(0), Trainer(shape, OptimConfig(), seed=0)
    probe.step(batch, STILL)
    before = _head_logits(Trainer(shape, OptimConfig(), seed=0), batch)
    tau = before.median().item()
    trainer = Trainer(shape, OptimConfig(qk_clip_tau=tau), seed=0)
    stats = trainer.step(batch, STILL)
    clipped = {(event.layer, event.head) for event in stats.clips}
    expected = {(int(i), int(h)) for i, h in torch.nonzero(before > tau)}
    assert clipped == expected
    assert 0 < len(clipped) < before.numel()
    # Layer 0 reads the embedding alone, so its logits scale by exactly g; later layers read
    # what earlier ones wrote, which the clip changed.
    after = _head_logits(trainer, batch)
    torch.testing.assert_close(after[0], before[0].clamp_max(tau), rtol=1e-4, atol=1e-6)
    assert stats.max_logits == pytest.approx(before.amax(-1).tolist())


def test_clipping_each_step_bounds_the_logits(shape: ModelShape, make_batch: BatchMaker) -> None:
    batch = make_batch(0)
    free, held = (Trainer(shape, OptimConfig(qk_clip_tau=t), seed=0) for t in (1e9, 0.1))
    for _ in range(12):
        loose, tight = free.step(batch, 2e-2), held.step(batch, 2e-2)
    assert max(loose.max_logits) > 10 * max(tight.max_logits)
    assert not loose.clips
    assert tight.clips


def _head_logits(trainer: Trainer, batch: Batch) -> torch.Tensor:
    """Largest logit by layer and head, recorded without a step."""
    trainer._forward(batch, counted=False, labels=True)
    layers = [layer.self_attention.core_attention for layer in trainer.model.decoder.layers]
    seen = torch.stack([layer.current_max_attn_logits for layer in layers])
    for layer in layers:
        layer.current_max_attn_logits = None
    trainer.model.zero_grad(set_to_none=False)
    for layer in trainer.model.decoder.layers[1:]:
        layer.mlp.router.local_tokens_per_expert.zero_()
    return seen


def test_recorded_logits_equal_a_plain_product() -> None:
    from k2core.engines.megatron.attention import PackedAttention, blocks_of
    from k2core.engines.megatron.context import RankChunk

    generator = torch.Generator().manual_seed(0)
    width = 300  # longer than a block of queries
    q, k = (torch.randn(width, 2, 3, 6, generator=generator, requires_grad=True) for _ in "qk")
    v = torch.randn(width, 2, 3, 4, generator=generator, requires_grad=True)
    segments = torch.tensor([[0] * 40 + [1] * 200 + [PADDING] * 60, [0] * width])
    same = segments[:, None, :, None] == segments[:, None, None, :]
    logits = torch.einsum("qbhd,kbhd->bhqk", q, k) * 0.5
    logits = logits.masked_fill(~same.tril(), -torch.inf)
    padding = (segments == PADDING).T[:, :, None, None]
    expected = torch.einsum("bhqk,kbhd->qbhd", logits.softmax(-1), v).masked_fill(padding, 0.0)
    attend: Callable[..., tuple[torch.Tensor, torch.Tensor]] = PackedAttention.apply
    out, largest = attend(q, k, v, blocks_of(segments, [RankChunk(0, width, 0)]), 0.5)
    torch.testing.assert_close(out, expected)
    seen = logits.detach().masked_fill((segments == PADDING)[:, None, :, None], -torch.inf)
    torch.testing.assert_close(largest, seen.amax((0, 2, 3)))
    cotangent = torch.randn(out.shape, generator=generator)
    ours = torch.autograd.grad(out, (q, k, v), cotangent)
    theirs = torch.autograd.grad(expected, (q, k, v), cotangent)
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference)


def test_expert_bias_moves_against_the_load(shape: ModelShape, make_batch: BatchMaker) -> None:
    trainer, batch = Trainer(shape, OptimConfig(), seed=0), make_batch(0)
    router = trainer.model.decoder.layers[1].mlp.router
    loads = []
    router.register_forward_hook(
        lambda _m, _i, _o: loads.append(router.local_tokens_per_expert.clone())
    )
    trainer.step(batch, STILL)
    load = loads[-1]
    assert load.sum() == 2 * (batch.segments != PADDING).sum()  # top 2, padding left out
    moved = torch.sign(load.mean() - load) * shape.bias_update_rate
    torch.testing.assert_close(router.expert_bias, moved)
    assert router.local_tokens_per_expert.sum() == 0
    trainer.logprobs(batch)
    torch.testing.assert_close(router.expert_bias, moved)


def test_balance_loss_equals_a_naive_one(shape: ModelShape, make_batch: BatchMaker) -> None:
    """The gradient of alpha * sum f_i P_i, row by row, is what the router's weight receives."""
    alone = shape.model_copy(update={"num_layers": 2, "seq_aux_loss": 10.0})
    batch = make_batch(0)
    trainer = Trainer(alone, OptimConfig(), seed=0)
    router = trainer.model.decoder.layers[1].mlp.router
    inputs = []
    router.register_forward_pre_hook(lambda _m, args: inputs.append(args[0].detach()))
    nothing = batch._replace(loss_mask=torch.zeros_like(batch.loss_mask))
    trainer.step(nothing, STILL)
    weight = router.weight.detach().clone().requires_grad_()
    total = torch.zeros(())
    for row in range(5):
        real = batch.segments[row] != PADDING
        scores = torch.sigmoid(inputs[0][: len(real), row][real[: len(inputs[0])]] @ weight.T)
        chosen = torch.zeros_like(scores).scatter_(1, scores.topk(2, -1).indices, 1.0)
        f = chosen.mean(0) * 4 / 2
        p = (scores / scores.sum(-1, keepdim=True)).mean(0)
        total = total + 10.0 * (f.detach() * p).sum() / 5
    total.backward()
    norm = sum(b.gradient.norm() ** 2 for b in trainer.optimizer.buckets) ** 0.5
    found = router.weight.grad
    scale = found.norm() / weight.grad.norm()  # the global norm was clipped to 1
    torch.testing.assert_close(found, weight.grad * scale, rtol=1e-3, atol=1e-6)
    assert norm <= 1.0 + 1e-5


def weighted_sum(logprobs: torch.Tensor, batch: Batch) -> ObjectiveValue:
    """A sequence-level objective: rows weighted by `extra`, mean over the global batch's rows."""
    sums = (logprobs * batch.loss_mask).sum(-1)
    value = -(sums * batch.extra["weight"]).sum() / batch.totals.rows
    return ObjectiveValue(
        value, {"mean_weight": float(batch.extra["weight"].sum()) / batch.totals.rows}
    )


def test_an_objective_sees_extra_tensors_and_global_totals(
    shape: ModelShape, make_batch: BatchMaker
) -> None:
    batch = make_batch(0)._replace(extra={"weight": torch.arange(5.0)})
    trainer = Trainer(shape, OptimConfig(), seed=0, placement=Placement(num_ranks=1, micro_batch=2))
    sums = (trainer.logprobs(batch) * batch.loss_mask).sum(-1)
    stats = trainer.step(batch, STILL, weighted_sum)
    assert stats.loss == pytest.approx(-float((sums * torch.arange(5.0)).sum()) / 5, rel=1e-5)
    assert stats.metrics == {"mean_weight": pytest.approx(2.0)}


def poisoned(logprobs: torch.Tensor, batch: Batch) -> ObjectiveValue:
    return ObjectiveValue(logprobs.sum() * torch.nan)


def test_a_nan_stops_before_the_weights_change(shape: ModelShape, make_batch: BatchMaker) -> None:
    trainer = Trainer(shape, OptimConfig(), seed=0)
    before = tensors_digest(trainer.export_weights())
    with pytest.raises(NonFiniteError, match="loss nan"):
        trainer.step(make_batch(0), 1e-3, poisoned)
    assert tensors_digest(trainer.export_weights()) == before


def test_a_refused_step_leaves_no_trace(shape: ModelShape, make_batch: BatchMaker) -> None:
    """Weights, moments, router biases and logits: as if the batch had never been."""
    config = OptimConfig(qk_clip_tau=0.05)
    found = []
    for bad in ((), (poisoned, None)):
        trainer = Trainer(shape, config, seed=0)
        trainer.step(make_batch(0), 2e-3, max_loss=math.inf)
        for objective in bad:
            given = objective or language_model_loss
            refused = trainer.step(make_batch(5), 2e-3, given, 1e-3)
            assert not refused.taken
            assert not refused.clips
        last = trainer.step(make_batch(1), 2e-3, max_loss=math.inf)
        found.append((last, tensors_digest(trainer.export_weights())))
    assert found[0] == found[1]
    assert found[0][0].taken


def test_norms_by_group_add_up_and_updates_have_their_size(
    shape: ModelShape, make_batch: BatchMaker
) -> None:
    trainer = Trainer(shape, OptimConfig(), seed=0)
    before = {n: p.detach().clone() for n, p in trainer.optimizer.parameters.items()}
    stats = trainer.step(make_batch(0), 1e-3)
    norms = [v for n, v in stats.groups.items() if n.startswith("grad_norm/")]
    assert len(norms) == len(GROUPS)
    assert math.sqrt(sum(norm**2 for norm in norms)) == pytest.approx(stats.grad_norm, rel=1e-5)
    squares, counts = dict.fromkeys(GROUPS, 0.0), dict.fromkeys(GROUPS, 0)
    for name, after in trainer.optimizer.parameters.items():
        group = group_of(name, after)
        step = (before[name] * (1 - 1e-3 * 0.1) - after.detach()) / 1e-3
        squares[group] += float(step.double().square().sum())
        counts[group] += after.numel()
    for group in GROUPS:
        expected = math.sqrt(squares[group] / counts[group])
        assert stats.groups[f"update_rms/{group}"] == pytest.approx(expected, rel=2e-2), group
    assert 0.1 < stats.groups["update_rms/experts"] < 0.3  # Muon's target is 0.2
