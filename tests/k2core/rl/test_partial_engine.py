"""Partial rollouts on a real engine: whose tokens they are, and what they spare."""

from pathlib import Path

import pytest

from bench.partial import practise
from bench.partial_vllm import count_versions, without_end, world_of
from k2core.engines.ray import serve
from k2core.model.hf import describe_checkpoint
from schemas.optim import OptimConfig
from schemas.placement import Serving
from schemas.rl import RlConfig
from tests.k2core.shapes import tiny_shape

pytestmark = pytest.mark.slow

CONFIG = RlConfig(num_problems=64, problems_per_iteration=8, samples_per_problem=4)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> list[Path]:
    """Three of random weights, which vLLM's kernels for CPU cores can serve."""
    from k2core.engines.megatron.trainer import Trainer

    shape = tiny_shape(vocab_size=400, init_std=0.2, qk_nope_head_dim=24, v_head_dim=32)
    shape = shape.model_copy(update={"max_position_embeddings": 1024})
    root = tmp_path_factory.mktemp("policies")
    for seed in range(3):
        folder = root / str(seed)
        Trainer(shape, OptimConfig(), seed=seed).export_checkpoint(folder)
        describe_checkpoint(folder, shape, tokenizer_folder, {})
    return [without_end(root / str(seed), root / f"{seed}-endless") for seed in range(3)]


def test_a_heavy_tail_takes_far_less_of_an_engine_in_parts(policies: list[Path]) -> None:
    with serve(policies[0], Serving(num_engines=1), max_model_len=1024, max_num_seqs=24) as engine:
        part_config = CONFIG.model_copy(update={"iteration_tokens": 1_800})
        whole, part = (practise(world_of(engine, policies, c), 4) for c in (CONFIG, part_config))
    print(whole._replace(rounds=[]), part._replace(rounds=[]))
    assert count_versions(whole).most == 1
    found = count_versions(part)
    assert found.most > 1
    assert 0 < part.stale_frac == pytest.approx(1 - found.on_policy / found.tokens)
    assert (whole.steps / whole.samples) / (part.steps / part.samples) > 1.5
    assert part.slot_use > whole.slot_use  # by seconds, which differ by far more than they vary
    for sample in (sample for samples in part.rounds for sample in samples):
        assert sample.dialogue.num_tokens <= sample.problem.max_tokens
