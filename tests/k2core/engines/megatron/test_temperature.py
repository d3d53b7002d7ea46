"""Rows that were sampled at a temperature are learned from at that temperature."""

from collections.abc import Callable

import pytest
import torch

from k2core.engines.megatron.batch import PADDING, Batch
from k2core.engines.megatron.trainer import Trainer
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement

BatchMaker = Callable[..., Batch]


def at(batch: Batch, *temperatures: float) -> Batch:
    return batch._replace(extra={"temperature": torch.tensor(temperatures)})


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_log_p_is_of_the_logits_over_each_rows_temperature(
    shape: ModelShape, make_batch: BatchMaker, every: int, micro_batch: int
) -> None:
    placement = Placement(num_ranks=1, micro_batch=micro_batch)
    trainer = Trainer(shape, OptimConfig(), seed=0, placement=placement)
    batch = make_batch(0, rows=3)
    segments = torch.zeros_like(batch.segments)
    segments[1, -5:] = PADDING
    mask = (torch.arange(batch.labels.numel()).view(batch.labels.shape) % every == 0).float()
    batch = batch._replace(segments=segments, loss_mask=mask * (segments != PADDING))
    heat = torch.tensor([1.0, 0.5, 1.7])
    logits = trainer.logits(batch.tokens)
    expected = (
        (logits / heat[:, None, None]).log_softmax(-1).gather(2, batch.labels[..., None])[..., 0]
    )
    found = trainer.logprobs(at(batch, *heat.tolist()))
    counts = batch.loss_mask > 0
    assert torch.allclose(found[counts], expected[counts], atol=2e-5)
    plain = trainer.logprobs(batch)
    assert torch.allclose(plain[0], found[0], atol=1e-6)
    assert not torch.allclose(plain[1][counts[1]], found[1][counts[1]], atol=1e-2)


def test_the_gradient_is_of_the_same_distribution(
    shape: ModelShape, make_batch: BatchMaker
) -> None:
    """Scaling the output layer down by T is dividing its logits by T."""
    trainer, batch = Trainer(shape, OptimConfig(), seed=0), make_batch(0, rows=2)
    losses = []
    gradients = []
    for temperature, scale in ((0.5, 1.0), (1.0, 2.0)):
        trainer.model.zero_grad(set_to_none=True)
        trainer.model.temperature = torch.full((2,), temperature)
        with torch.no_grad():
            trainer.model.output_layer.weight.mul_(scale)
        trainer._forward(batch, counted=True, labels=True).sum().backward()
        losses.append(trainer.logprobs(at(batch, temperature, temperature)))
        name = "decoder.final_layernorm.weight"
        gradients.append(dict(trainer.model.named_parameters())[name].grad)
    assert torch.allclose(losses[0], losses[1], atol=1e-5)
    assert gradients[0] is not None
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-3, atol=1e-4)
