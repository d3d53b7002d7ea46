"""The plan against what is published, what is measured, and hand-computed sizes."""

from dataclasses import replace
from typing import Any, cast

import pytest

from k2core.parallel.layout import Layout, layers_of_stages, misfits
from k2core.parallel.memory import held_by_stages, layers_in_flight
from k2core.parallel.plan import (
    Assumptions,
    LayoutError,
    TrainingJob,
    check_placement,
    make_plan,
    memory_in,
)
from k2core.parallel.search import fit_layout, search_layouts
from k2core.parallel.traffic import all_to_all, context_parallel
from schemas.model import ModelShape
from schemas.placement import Placement
from workflows.large_recipes import K2_SHAPE, MOONLIGHT_SHAPE

K2 = TrainingJob(K2_SHAPE, 16_384, 4096, 230_967, "bf16")
K2_LAYOUT = Layout(512, pp=16, ep=16, gpu="h800")
DEEPSEEK_V3 = K2_SHAPE.model_copy(
    update={"vocab_size": 129_280, "num_dense_layers": 3, "num_heads": 128, "num_experts": 256}
)


def test_k2s_weights_and_gradients_fill_6_tb_of_256_gpus_and_30_gb_of_each() -> None:
    stages = held_by_stages(K2_SHAPE, replace(K2_LAYOUT, num_ranks=256))
    experts_and_rest = sum(h.experts * 16 + h.dense + h.others for h in stages)
    assert round(experts_and_rest * (2 + 4) / 1e12) == 6  # arXiv:2507.20534, section 2.4.1
    each = [held.total * (2 + 4) / 1e9 for held in stages]
    assert 20 < min(each) < max(each) < 33


def test_k2_fits_h800_only_with_what_the_report_saves() -> None:
    with pytest.raises(LayoutError, match=r"stage 0 needs \S+ GB on each h800.*Raise pp"):
        make_plan(K2, K2_LAYOUT, Assumptions())
    found = fit_layout(K2, K2_LAYOUT, Assumptions())
    assert (found.layout.recompute, found.layout.fp8_storage, found.layout.offload) == (
        "selective",
        True,
        True,
    )
    assert found.num_tokens == pytest.approx(15.5e12, rel=1e-3)
    assert found.step.exposed == 0  # EP 16 hides behind compute


def test_deepseek_v3_takes_about_its_published_gpu_hours() -> None:
    # 15,360 sequences there; DualPipe, which hides the traffic, stands here as interleaved 1F1B
    job = TrainingJob(DEEPSEEK_V3, 16_384, 4096, 14_800 * 10**9 // (16_384 * 4096), "bf16")
    found = fit_layout(job, Layout(2048, pp=16, ep=64, gpu="h800"), Assumptions())
    assert found.device_hours == pytest.approx(2.664e6, rel=0.2)  # arXiv:2412.19437, table 1


def test_node_counts_are_multiples_of_32() -> None:
    for nodes in (32, 64, 96):
        assert not list(misfits(K2_SHAPE, replace(K2_LAYOUT, num_ranks=nodes * 8), 16_384))
    (reason,) = misfits(K2_SHAPE, replace(K2_LAYOUT, num_ranks=40 * 8), 16_384)
    assert reason == "placement.num_ranks=320 is not a multiple of ep * pp=256"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ep": 7, "num_ranks": 7 * 512}, "num_experts=384 is not a multiple of placement.ep=7"),
        ({"pp": 64}, "placement.pp=64 exceeds model.num_layers=61: a stage needs a layer"),
        ({"virtual_stages": 4}, "pp=16 * virtual_stages=4 exceeds model.num_layers=61: a virtual"),
        ({"tp": 16, "pp": 1}, "tp=16 exceeds ranks_per_node=8"),
        ({"num_ranks": 768, "virtual_stages": 3}, "not a multiple of pp=16"),
    ],
)
def test_what_does_not_divide_is_said(change: dict[str, int], words: str) -> None:
    layout = replace(K2_LAYOUT, **cast(Any, change))
    reasons = "; ".join(misfits(K2_SHAPE, layout, 16_384))
    assert words in reasons


def test_context_parallel_ranks_share_tokens_and_states() -> None:
    alone, shared = K2_LAYOUT, replace(K2_LAYOUT, cp=2)
    assert (shared.dp, shared.dense_dp) == (alone.dp // 2, alone.dense_dp)
    assert str(shared) == "TP1 CP2 PP16 EP16 DP16"
    row = 64 * (128 + 64 + 128) * 2  # a token's keys and values
    gathered = 2 * 4096 * row  # and their gradients, of whole rows
    for one, other in zip(memory_in(K2, alone), memory_in(K2, shared), strict=True):
        assert other.states == one.states
        assert other.activations == pytest.approx(one.activations / 2 + gathered)
    sent = context_parallel(K2_SHAPE, shared, tokens=2048)
    assert sent.inside == 4 * 2048 * row  # one other rank: gathered twice, summed by passing twice
    again = context_parallel(K2_SHAPE, replace(shared, recompute="full"), tokens=2048)
    assert again.inside == 5 * 2048 * row
    assert context_parallel(K2_SHAPE, alone, tokens=4096).inside == 0
    (reason,) = misfits(K2_SHAPE, replace(K2_LAYOUT, cp=3), 16_384)
    assert reason == "placement.num_ranks=512 is not a multiple of tp * cp * pp=48"


def test_long_sequences_are_shared_by_as_many_ranks_as_pays() -> None:
    long = K2._replace(batch_size=2048, sequence_length=32_768)
    found = fit_layout(long, K2_LAYOUT, Assumptions())
    assert found.layout.cp > 1
    assert found.fullest.device < 80e9 * 0.92
    with pytest.raises(LayoutError, match=r"stage \d+ needs"):
        make_plan(long, replace(found.layout, cp=1), Assumptions())
    assert fit_layout(long, replace(K2_LAYOUT, cp=8), Assumptions()).layout.cp == 8
    assert fit_layout(K2, K2_LAYOUT, Assumptions()).layout.cp == 1


def test_a_placement_shares_long_sequences_between_more_ranks() -> None:
    place = Placement(num_ranks=12, tp=2, tokens_a_rank=4096)
    assert [place.for_length(n).cp for n in (512, 4096, 4097, 12_288, 16_385)] == [1, 1, 2, 3, 6]
    assert place.for_length(16_385).dp == 1
    assert Placement(num_ranks=4, cp=2, tokens_a_rank=64).for_length(128).cp == 2
    assert Placement().for_length(10**6).cp == 1
    with pytest.raises(ValueError, match=r"30000 need 8 ranks at tokens_a_rank=4096.*leaves 6"):
        place.for_length(30_000)


def test_copies_to_the_host_hide_behind_compute_until_they_are_longer() -> None:
    kept = replace(K2_LAYOUT, recompute="selective", fp8_storage=True, num_ranks=1024, cp=2)
    sent = replace(kept, offload=True)
    keeps, sends = (make_plan(K2, x, Assumptions()) for x in (kept, sent))
    assert keeps.step.offload == 0 < sends.step.offload
    assert sends.step.exposed == keeps.step.exposed  # 45 % of the peak leaves the time
    fast = make_plan(K2, sent, Assumptions(efficiency=1.0))
    assert fast.step.exposed > make_plan(K2, kept, Assumptions(efficiency=1.0)).step.exposed
    for one, other in zip(keeps.stages, sends.stages, strict=True):
        assert other.device + other.host == pytest.approx(one.device)


def test_layers_are_dealt_once() -> None:
    stages = layers_of_stages(61, replace(K2_LAYOUT, virtual_stages=3))
    assert sorted(layer for stage in stages for layer in stage) == list(range(61))
    assert stages[0] == [0, 1, 29, 45]  # 13 chunks of two, then 35 of one


def test_in_flight_layers_by_hand() -> None:
    plain = Layout(4, pp=4)
    assert [layers_in_flight(stage, 2, plain, 8) for stage in range(4)] == [8, 6, 4, 2]
    assert layers_in_flight(0, 2, plain, 3) == 6
    assert layers_in_flight(0, 2, replace(plain, virtual_stages=2), 8) == 11


def test_an_all_to_all_within_a_node_leaves_it_not() -> None:
    inside = all_to_all(K2_SHAPE, Layout(8, ep=8), 4096)
    assert inside.outside == 0
    two_nodes = all_to_all(K2_SHAPE, Layout(16, ep=16), 4096)
    reaches = 1 - 2**-8  # of eight experts one at least is there
    assert two_nodes.outside == pytest.approx(4096 * 7168 * 2 * reaches)


def test_the_search_ranks_what_can_run() -> None:
    moonlight = TrainingJob(MOONLIGHT_SHAPE, 2048, 8192, 1000, "bf16")
    found = search_layouts(moonlight, Layout(32, gpu="h800"), Assumptions())
    assert len(found) > 3
    seconds = [plan.step.seconds for plan in found]
    assert seconds == sorted(seconds)
    assert all(plan.fullest.device < 80e9 for plan in found)


def test_tiny_runs_on_a_laptop_and_k2_does_not() -> None:
    check_placement(TrainingJob(ModelShape(), 32, 256, 90, "fp32"), Placement())
    with pytest.raises(LayoutError, match=r"placement TP1 PP1 EP1 DP2.*on each cpu"):
        check_placement(K2._replace(precision="fp32"), Placement())


def test_states_of_the_tiny_model_are_what_the_engine_holds() -> None:
    from k2core.engines.megatron.trainer import Trainer
    from schemas.optim import OptimConfig

    shape = ModelShape()
    trainer = Trainer(shape, OptimConfig(), seed=0)
    (memory,) = memory_in(TrainingJob(shape, 8, 64, 1, "fp32"), Layout(1))
    held = sum(p.numel() * 4 for p in trainer.model.parameters())
    assert memory.parameters == memory.gradients == held
    states = trainer.optimizer.named_states().items()  # in fp32 the masters are the weights
    kept = sum(t.numel() * 4 for key, t in states if not key.startswith("weight/"))
    assert memory.optimizer == kept
