"""Rows are learned from as they were sampled: at a temperature, of what a grammar left."""

from collections.abc import Callable

import pytest
import torch

from k2core.engines.megatron.batch import PADDING, Batch, ObjectiveValue
from k2core.engines.megatron.folding import GROUP
from k2core.engines.megatron.trainer import Trainer
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement
from tests.k2core.engines.megatron.rank_checks import hold

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


def allowed(batch: Batch) -> torch.Tensor:
    """[B, S, V] what may be said, bit by bit."""
    assert batch.masks is not None
    bits = [batch.masks[:, token // 8] >> token % 8 & 1 for token in range(300)]
    return torch.stack(bits, 1).bool()[batch.extra["mask"]]


@pytest.mark.parametrize("every", [1, 3])
def test_log_p_under_a_grammar_is_of_what_it_left(
    shape: ModelShape, make_batch: BatchMaker, every: int
) -> None:
    """Mask, then temperature: an engine's order."""
    trainer = Trainer(shape, OptimConfig(), seed=0, placement=Placement(num_ranks=1, micro_batch=2))
    heat = torch.tensor([1.0, 0.5, 1.7])
    batch = hold(at(make_batch(0, rows=3), *heat.tolist()))
    batch = batch._replace(segments=batch.segments.clamp(max=0))
    mask = (torch.arange(batch.labels.numel()).view(batch.labels.shape) % every == 0).float()
    batch = batch._replace(loss_mask=mask * batch.loss_mask)
    left = trainer.logits(batch.tokens).masked_fill(~allowed(batch), -torch.inf)
    expected = (left / heat[:, None, None]).log_softmax(-1).gather(2, batch.labels[..., None])
    counts = batch.loss_mask > 0
    found = trainer.logprobs(batch)
    assert torch.allclose(found[counts], expected[..., 0][counts], atol=2e-5)
    together = {**batch.extra, GROUP: torch.zeros(3, dtype=torch.int64)}
    folded = trainer.logprobs(batch._replace(extra=together))
    assert torch.allclose(folded[counts], found[counts], atol=2e-5)
    free = trainer.logprobs(batch._replace(masks=None))
    assert (free[counts] <= found[counts] + 1e-5).all()
    assert (found - free)[counts].max() > 0.5


def expect(logprobs: torch.Tensor, batch: Batch) -> ObjectiveValue:
    return ObjectiveValue((batch.extra["weight"] * logprobs[:, -1]).sum())


def gradient(trainer: Trainer, batch: Batch) -> float:
    trainer.accumulate(batch, expect)
    return trainer.optimizer.reduce_gradients()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.5])
def test_a_choice_that_decides_nothing_has_no_gradient_under_a_grammar(
    shape: ModelShape, temperature: float
) -> None:
    """Exact expectation over what may be said: a reward that is the same for all moves nothing.

    Without the mask the same choices move the weights: away from what nobody could say.
    """
    calm = shape.model_copy(update={"seq_aux_loss": 0.0})
    trainer = Trainer(calm, OptimConfig(), seed=0)
    may_be = [3, 17, 40, 41, 200, 299]
    tokens = torch.tensor([[5, 6, 7, 8]]).expand(len(may_be), 4)
    labels = torch.stack([torch.tensor([6, 7, 8, token]) for token in may_be])
    table = torch.full((2, 38), 255, dtype=torch.uint8)
    table[1] = 0
    for token in may_be:
        table[1, token // 8] |= 1 << token % 8
    place = torch.tensor([[0, 0, 0, 1]]).expand(len(may_be), 4)
    only_last = (place > 0).float()
    heat = torch.full((len(may_be),), temperature)
    chances = (trainer.logits(tokens[:1])[0, -1, may_be] / temperature).softmax(0)
    extra = {"temperature": heat, "mask": place, "weight": chances}
    batch = Batch(tokens, labels, only_last, torch.zeros_like(tokens), extra, masks=table)
    assert gradient(trainer, batch) < 1e-4
    assert gradient(trainer, batch._replace(masks=None)) > 0.1
