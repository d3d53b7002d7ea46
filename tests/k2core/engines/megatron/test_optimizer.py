from collections.abc import Callable

import pytest
import torch

from bench.reference import NaiveK2
from k2core.engines.megatron.batch import Batch
from k2core.engines.megatron.matrices import list_matrices, matrix_heights
from k2core.engines.megatron.trainer import Trainer
from k2core.model.scaling import routed_scaling_factor
from schemas.model import ModelShape
from schemas.optim import OptimConfig

BatchMaker = Callable[..., Batch]


@pytest.mark.parametrize(
    "config",
    [
        OptimConfig(),
        OptimConfig(qk_clip_tau=0.05),
        OptimConfig(qk_clip_tau=0.05, nesterov=True, split_heads=True),
    ],
)
def test_whole_steps_equal_a_naive_float64_model(
    shape: ModelShape, make_batch: BatchMaker, config: OptimConfig
) -> None:
    """Model, losses, routing, gradients, updates and clips, all of them written a second time."""
    trainer = Trainer(shape, config, seed=0)
    start = trainer.export_weights()
    naive = NaiveK2(start, shape, config, routed_scaling_factor(shape))
    clips = []
    for seed in range(4):
        batch = make_batch(seed)
        stats = trainer.step(batch, 1e-3)
        naive.step((batch.tokens, batch.labels, batch.loss_mask.double(), batch.segments), 1e-3)
        clips += [(seed + 1, event.layer, event.head) for event in stats.clips]
        assert stats.max_logits == pytest.approx(naive.largest.amax(1).tolist(), abs=1e-5)
    assert bool(clips) == (config.qk_clip_tau < 1)
    assert clips == [clip[:3] for clip in naive.clips]
    for name, weight in trainer.export_weights().items():
        expected = {**naive.weights, **naive.biases}[name]
        torch.testing.assert_close(weight.double(), expected.detach(), rtol=0, atol=1e-5, msg=name)


def test_masters_and_bf16_copies_are_clipped_alike(
    shape: ModelShape, make_batch: BatchMaker
) -> None:
    trainer = Trainer(shape, OptimConfig(precision="bf16", qk_clip_tau=0.05), seed=0)
    assert {p.dtype for p in trainer.model.parameters()} == {torch.bfloat16}
    batch = make_batch(0)
    losses = [trainer.step(batch, 2e-3) for _ in range(6)]
    assert losses[-1].loss < losses[0].loss
    assert losses[-1].clips
    for bucket in trainer.optimizer.buckets:
        assert bucket.master.dtype == torch.float32
        assert torch.equal(bucket.weights, bucket.master.bfloat16())
        assert not torch.equal(bucket.weights.float(), bucket.master)


def test_one_buffer_a_matrix(shape: ModelShape) -> None:
    optimizer = Trainer(shape, OptimConfig(), seed=0).optimizer
    sizes = {"first": 0, "second": 0, "weight": 0}
    for key, tensor in optimizer.named_states().items():
        sizes[key.split("/")[0]] += tensor.numel()
    matrices = [matrix for bucket in optimizer.buckets for matrix in bucket.matrices]
    assert len({(m.parameter, m.start) for m in matrices}) == len(matrices)
    total = sum(parameter.numel() for parameter in optimizer.parameters.values())
    assert sizes["first"] == sizes["weight"] == total
    assert sizes["second"] == sizes["weight"] - sum(m.rows * m.columns for m in matrices)


def test_gate_up_heads_and_experts_are_matrices_of_their_own(shape: ModelShape) -> None:
    parameters = Trainer(shape, OptimConfig(), seed=0).optimizer.parameters
    layer = "decoder.layers.1"

    def heights(name: str, **options: bool) -> tuple[int, ...] | None:
        return matrix_heights(name, parameters[name], OptimConfig(**options), shape)

    assert heights("decoder.layers.0.mlp.linear_fc1.weight") == (64, 64)
    assert heights("decoder.layers.0.mlp.linear_fc1.weight", split_gate_up=False) == (128,)
    assert heights(f"{layer}.mlp.experts.weight1") == (32, 32)
    assert heights(f"{layer}.mlp.experts.weight2") == (48,)
    assert heights(f"{layer}.mlp.experts.weight2", split_experts=False) == (4 * 48,)
    assert heights(f"{layer}.mlp.router.weight") == (4,)
    query, key_value = (f"{layer}.self_attention.linear_{x}_up_proj.weight" for x in ("q", "kv"))
    assert heights(query) == (2 * 24,)
    assert heights(query, split_heads=True) == (24,)
    assert heights(key_value, split_heads=True) == (16, 12)
    for name in ("embedding.word_embeddings.weight", "output_layer.weight"):
        assert heights(name) is None
    assert heights("decoder.final_layernorm.weight") is None
    listed = list_matrices(parameters, OptimConfig(split_heads=True), shape)
    assert sum(m.parameter == key_value for m in listed) == 4  # keys and values of two heads
