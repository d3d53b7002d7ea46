from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch

from k2core.engines.megatron.batch import Batch
from k2core.engines.megatron.streamed import stream_logits
from k2core.engines.megatron.trainer import Trainer
from k2core.model.config import load_shape
from k2core.model.counts import sum_parameters
from k2core.model.digest import tensors_digest
from k2core.model.hf import describe_checkpoint, load_weights
from schemas.model import ModelShape
from schemas.optim import OptimConfig

LoadWithInfo = Callable[..., tuple[torch.nn.Module, dict[str, object]]]


def shake(trainer: Trainer) -> None:
    """Leave the symmetric start: gains off 1, biases off 0, so that every part matters."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        for layer in trainer.model.decoder.layers[1:]:
            bias = layer.mlp.router.expert_bias
            bias.copy_(torch.randn(bias.shape, generator=generator) * 0.1)


def save(trainer: Trainer, folder: Path) -> Path:
    """A checkpoint without a tokenizer."""
    (folder / "tokenizer").mkdir(parents=True)
    trainer.export_checkpoint(folder)
    describe_checkpoint(folder, trainer.shape, folder / "tokenizer", {})
    return folder


@pytest.mark.parametrize(("yarn_factor", "q_lora_rank"), [(1.0, 24), (4.0, 24), (1.0, None)])
def test_logits_equal_transformers(
    shape: ModelShape, tmp_path: Path, yarn_factor: float, q_lora_rank: int | None
) -> None:
    from transformers import DeepseekV3ForCausalLM

    shape = shape.model_copy(
        update={"yarn_factor": yarn_factor, "q_lora_rank": q_lora_rank}
        | {"original_max_position_embeddings": 64}
    )
    trainer = Trainer(shape, OptimConfig(), seed=1)
    shake(trainer)
    folder = save(trainer, tmp_path / "checkpoint")
    load = cast("LoadWithInfo", DeepseekV3ForCausalLM.from_pretrained)
    theirs, info = load(folder, output_loading_info=True, dtype=torch.float32)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]

    tokens = torch.randint(0, 300, (2, 200), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = theirs.eval()(tokens).logits
        found = trainer.logits(tokens)
    assert expected.abs().max() > 1  # the comparison is about something
    assert (found - expected).abs().max() < 1e-4
    in_layers = stream_logits(folder, [tokens[0], tokens[1, :63]])
    assert torch.equal(in_layers[0], trainer.logits(tokens[:1])[0])
    assert torch.equal(in_layers[1], trainer.logits(tokens[1:, :63])[0])

    batch = Batch(tokens, tokens.roll(-1, 1), torch.ones(2, 200), torch.zeros_like(tokens))
    logprobs = expected.log_softmax(-1).gather(-1, batch.labels[..., None])[..., 0]
    assert (trainer.logprobs(batch) - logprobs).abs().max() < 1e-4


def test_export_and_import_round_trip(shape: ModelShape, tmp_path: Path) -> None:
    trainer = Trainer(shape, OptimConfig(), seed=1)
    shake(trainer)
    weights = trainer.export_weights()
    assert all(t.dtype == torch.float32 and t.is_contiguous() for t in weights.values())
    folder = save(trainer, tmp_path / "c")
    assert tensors_digest(load_weights(folder)) == tensors_digest(weights)
    again = Trainer(load_shape(folder), OptimConfig(), seed=2, checkpoint=folder)
    assert tensors_digest(again.export_weights()) == tensors_digest(weights)


def test_a_checkpoint_of_another_width_is_refused(shape: ModelShape, tmp_path: Path) -> None:
    folder = save(Trainer(shape, OptimConfig(), seed=1), tmp_path / "c")
    wider = shape.model_copy(update={"ffn_hidden_size": 128})
    said = r"gate_proj\.weight is \[64, 48\] in .*c, and \[128, 48\] in the model shape"
    with pytest.raises(ValueError, match=said):
        Trainer(wider, OptimConfig(), seed=1, checkpoint=folder)


def test_the_model_counts_as_the_arithmetic_says(shape: ModelShape) -> None:
    model = Trainer(shape, OptimConfig(), seed=1).model
    assert sum(p.numel() for p in model.parameters()) == sum_parameters(shape).total
