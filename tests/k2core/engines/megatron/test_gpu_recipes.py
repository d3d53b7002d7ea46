"""The recipes for GPUs at reduced width: their optimizers, precision, savings, on the CPU."""

import math
from itertools import pairwise

import pytest

from k2core.engines.megatron.trainer import Trainer
from k2core.optim.schedule import learning_rate
from tests.k2core.engines.megatron.conftest import BatchMaker
from workflows.recipes import RECIPES

NARROW = {
    "vocab_size": 300,
    "num_layers": 2,
    "hidden_size": 64,
    "num_heads": 2,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "ffn_hidden_size": 128,
    "moe_ffn_hidden_size": 32,
    "num_experts": 8,
}


@pytest.mark.parametrize("name", ["one_gpu", "one_node"])
def test_its_first_steps_lower_the_loss(name: str, make_batch: BatchMaker) -> None:
    recipe = RECIPES[name]()
    shape = recipe.model.model_copy(update=NARROW)
    place = recipe.placement.model_copy(update={"num_ranks": 1, "ep": 1, "gpu": "cpu"})
    config = recipe.pretrain
    trainer = Trainer(shape, config.optim, seed=0, placement=place)
    batch = make_batch(0)
    end = config.schedule.num_steps // 2  # after the warm-up, of which two steps see nothing
    rate = learning_rate(end, config.optim.lr, config.schedule)
    losses = [trainer.step(batch, rate * 10).loss for _ in range(4)]
    assert losses[0] == pytest.approx(math.log(300), abs=0.3)
    assert losses[-1] < losses[0] - 0.05
    assert all(later < earlier for earlier, later in pairwise(losses))
