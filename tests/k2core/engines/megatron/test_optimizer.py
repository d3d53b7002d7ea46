import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from k2core.engines.megatron.batch import Batch
from k2core.engines.megatron.optimizer import deal_matrices, matrix_shape
from k2core.engines.megatron.trainer import Trainer
from schemas.model import ModelShape
from schemas.optim import OptimConfig

BatchMaker = Callable[..., Batch]
Array = NDArray[np.float64]


def orthogonalize(matrix: Array) -> Array:
    """Newton-Schulz once more, in float64, for one matrix."""
    x = matrix / (np.linalg.norm(matrix) + 1e-7)
    x = x if x.shape[0] <= x.shape[1] else x.T
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


class NaiveMuonClip:
    """The whole update by Hugging Face names, one tensor at a time: no fusing, no batching."""

    def __init__(self, weights: dict[str, torch.Tensor], config: OptimConfig) -> None:
        self.weights = {n: t.double().numpy().copy() for n, t in weights.items()}
        self.config, self.count = config, 0
        self.first = {n: np.zeros_like(w) for n, w in self.weights.items()}
        self.second = {n: np.zeros_like(w) for n, w in self.weights.items()}

    def step(self, grads: dict[str, Array], lr: float) -> None:
        self.count += 1
        for name, grad in grads.items():
            weight, m, v = self.weights[name], self.first[name], self.second[name]
            if weight.ndim == 2 and not name.startswith(("model.embed", "lm_head")):
                m[:] = 0.95 * m + grad
                update = orthogonalize(m) * 0.2 * math.sqrt(max(weight.shape))
            else:
                m[:] = 0.9 * m + 0.1 * grad
                v[:] = 0.95 * v + 0.05 * grad**2
                corrected = np.sqrt(v / (1 - 0.95**self.count)) + 1e-8
                update = m / (1 - 0.9**self.count) / corrected
            weight -= lr * (update + self.config.weight_decay * weight)

    def clip(self, shape: ModelShape, events: list[tuple[int, int, float, float]]) -> None:
        nope, head = shape.qk_nope_head_dim, shape.qk_nope_head_dim + shape.qk_rope_head_dim
        kv_head = nope + shape.v_head_dim
        for layer, h, logit, _ in events:
            g = self.config.qk_clip_tau / logit
            q = self.weights[f"model.layers.{layer}.self_attn.q_b_proj.weight"]
            kv = self.weights[f"model.layers.{layer}.self_attn.kv_b_proj.weight"]
            q[h * head : h * head + nope] *= math.sqrt(g)
            q[h * head + nope : (h + 1) * head] *= g
            kv[h * kv_head : h * kv_head + nope] *= math.sqrt(g)


def exported_gradients(trainer: Trainer) -> dict[str, Array]:
    """The gradients that the last step used, by Hugging Face names."""
    from k2core.model.names import to_hf

    named = {n: p.grad for n, p in trainer.model.named_parameters()}
    state = trainer.model.state_dict()
    biases = {n: torch.zeros_like(t) for n, t in state.items() if n.endswith("expert_bias")}
    split = to_hf({**named, **biases}, trainer.shape)
    return {n: g.double().numpy() for n, g in split.items() if "bias" not in n}


@pytest.mark.parametrize("tau", [0.05, 100.0])
def test_whole_steps_equal_a_naive_float64_muonclip(
    shape: ModelShape, make_batch: BatchMaker, tau: float
) -> None:
    config = OptimConfig(qk_clip_tau=tau)
    trainer = Trainer(shape, config, seed=0)
    naive = NaiveMuonClip(trainer.export_weights(), config)
    num_clips = 0
    for seed in range(4):
        stats = trainer.step(make_batch(seed), 5e-3)
        naive.step(exported_gradients(trainer), 5e-3)
        naive.clip(shape, [tuple(event) for event in stats.clips])
        num_clips += len(stats.clips)
    assert (num_clips > 0) == (tau < 1)
    for name, weight in trainer.export_weights().items():
        if "bias" not in name:
            np.testing.assert_allclose(weight.numpy(), naive.weights[name], atol=5e-5, err_msg=name)


def test_every_matrix_is_dealt_once_and_evenly(shape: ModelShape) -> None:
    parameters = dict(Trainer(shape, OptimConfig(), seed=0).model.named_parameters())
    for num_ranks in (1, 2, 3):
        dealt = deal_matrices(parameters, num_ranks)
        assert len({m.key for m in dealt}) == len(dealt)
        muon = sum(p.numel() for n, p in parameters.items() if matrix_shape(n, p))
        assert sum(m.shape[0] * m.shape[1] for m in dealt) == muon
        shares = [sum(math.prod(m.shape) for m in dealt if m.owner == r) for r in range(num_ranks)]
        assert max(shares) < 1.5 * min(shares)


def test_gate_up_and_experts_are_matrices_of_their_own(shape: ModelShape) -> None:
    parameters = dict(Trainer(shape, OptimConfig(), seed=0).model.named_parameters())
    shapes = {n: matrix_shape(n, p) for n, p in parameters.items()}
    assert shapes["decoder.layers.0.mlp.linear_fc1.weight"] == (64, 48)
    assert shapes["decoder.layers.1.mlp.experts.weight1"] == (32, 48)
    assert shapes["decoder.layers.1.mlp.experts.weight2"] == (48, 32)
    assert shapes["decoder.layers.1.mlp.router.weight"] == (4, 48)
    assert shapes["embedding.word_embeddings.weight"] is None
    assert shapes["output_layer.weight"] is None
    assert shapes["decoder.final_layernorm.weight"] is None
