"""Engines, practice and what training costs beside its steps: hand-computed sizes."""

from dataclasses import replace

import pytest

from k2core.model.counts import sum_parameters
from k2core.parallel.hardware import DEVICES
from k2core.parallel.layout import Layout
from k2core.parallel.overheads import plan_overheads
from k2core.parallel.plan import Assumptions, LayoutError, TrainingJob, make_plan
from k2core.parallel.practice import plan_practice
from k2core.parallel.serving import Demand, key_bytes, plan_serving, weight_bytes
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement, Serving
from workflows.gpu_recipes import ONE_GPU_SHAPE
from workflows.large_recipes import K2_SHAPE, MOONLIGHT_SHAPE

NOTHING = Assumptions()
FEW = Demand(dialogues=64, longest=4096, mean=1024, max_num_seqs=32)


def test_an_engines_weights_and_keys_are_counted() -> None:
    total = sum_parameters(MOONLIGHT_SHAPE).total
    assert weight_bytes(MOONLIGHT_SHAPE, Serving(), 2) == pytest.approx(2 * total, rel=1e-4)
    assert key_bytes(MOONLIGHT_SHAPE, Serving(), 2) == 27 * (512 + 64) * 2
    assert key_bytes(K2_SHAPE, Serving(tp=8, pp=4), 2) == 16 * (512 + 64) * 2  # no share by tp
    wide = weight_bytes(K2_SHAPE, Serving(tp=8, pp=4), 2)
    assert sum_parameters(K2_SHAPE).total * 2 / 32 < wide < 80e9 * 0.9  # 61 layers in 4 stages


@pytest.mark.parametrize(
    ("serving", "reason"),
    [
        (Serving(tp=8), "needs 258.5 GB of weights"),
        (Serving(tp=3), "model.num_heads=64 is not a multiple of serving.tp=3"),
        (Serving(tp=16, pp=2), "serving.tp=16 exceeds ranks_per_node=8"),
        (Serving(tp=8, pp=64), "serving.pp=64 exceeds model.num_layers=61"),
        (Serving(tp=8, pp=4, memory_frac=0.5), "has 40.0 GB"),
    ],
)
def test_an_engine_that_cannot_hold_the_model_is_refused(serving: Serving, reason: str) -> None:
    with pytest.raises(LayoutError, match=reason):
        plan_serving(K2_SHAPE, serving, "h800", 8, FEW, NOTHING)


def test_decoding_alone_reads_the_active_weights_and_the_keys() -> None:
    """One dialogue: each token reads what it passes through, and on average half the keys."""
    alone = Demand(dialogues=1, longest=2048, mean=2048, max_num_seqs=1)
    found = plan_serving(ONE_GPU_SHAPE, Serving(num_engines=1), "h100", 1, alone, NOTHING)
    read = 2 * sum_parameters(ONE_GPU_SHAPE).active + 1024 * 16 * (512 + 64) * 2
    rate = DEVICES["h100"].bandwidth * NOTHING.efficiency
    assert found.tokens_per_second == pytest.approx(rate / read, rel=1e-3)
    assert found.together == 1
    many = plan_serving(
        ONE_GPU_SHAPE, Serving(num_engines=1), "h100", 1, FEW._replace(dialogues=1000), NOTHING
    )
    assert many.together == 32
    assert many.tokens_per_second > 3 * found.tokens_per_second
    two = plan_serving(
        ONE_GPU_SHAPE, Serving(num_engines=2), "h100", 1, FEW._replace(dialogues=2000), NOTHING
    )
    assert two.seconds == pytest.approx(many.seconds, rel=0.05)


JOB = TrainingJob(
    ONE_GPU_SHAPE, 192, 2048, 100, "bf16", OptimConfig(precision="bf16", lr=1e-6, weight_decay=0)
)
SHARED = Placement(
    num_ranks=1,
    micro_batch=4,
    gpu="h100",
    ranks_per_node=1,
    serving=Serving(num_engines=1, memory_frac=0.4, sleep=True),
)


def test_practice_counts_devices_weights_and_the_trainers_own_pass() -> None:
    both = plan_practice(JOB, SHARED, FEW, NOTHING, forward=True)
    assert both.devices == 1
    assert both.transfer_bytes == 2 * sum_parameters(ONE_GPU_SHAPE).total
    assert both.forward == pytest.approx(both.update.step.compute / 3)
    own = Serving(num_engines=2)
    apart = plan_practice(
        JOB, SHARED.model_copy(update={"serving": own}), FEW, NOTHING, forward=False
    )
    assert (apart.devices, apart.forward) == (3, 0)
    assert apart.transfer > both.transfer


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"memory_frac": 0.9}, r"beside the trainer's \S+ GB.*may fill 0\.\d+ of a h100 at most"),
        ({"num_engines": 2}, "puts 2 of the engines' devices on the trainer's 1"),
        ({"tp": 3, "num_engines": 1}, "engines: model.num_heads=8 is not a multiple"),
    ],
)
def test_engines_on_the_trainers_gpus_must_fit_there(
    changes: dict[str, object], reason: str
) -> None:
    serving = SHARED.serving.model_copy(update=changes)
    with pytest.raises(LayoutError, match=reason):
        plan_practice(
            JOB, SHARED.model_copy(update={"serving": serving}), FEW, NOTHING, forward=False
        )


def test_dialogues_longer_than_the_trainer_holds_are_refused() -> None:
    with pytest.raises(LayoutError, match=r"trainer: .* stage 0 needs \S+ GB"):
        plan_practice(JOB._replace(sequence_length=200_000), SHARED, FEW, NOTHING, forward=False)


def test_feed_and_states_of_a_rank_do_not_grow_with_their_number() -> None:
    found = {}
    for ranks in (512, 4096):
        rows = 16_384 * ranks // 512  # as many a replica
        job = TrainingJob(K2_SHAPE, rows, 4096, 10, "bf16")
        layout = Layout(
            ranks, pp=16, ep=16, gpu="h800", recompute="selective", offload=True, fp8_storage=True
        )
        found[ranks] = plan_overheads(make_plan(job, layout, NOTHING), job)
    few, many = found[512], found[4096]
    assert few.state_bytes == pytest.approx(8 * sum_parameters(K2_SHAPE).total, rel=0.01)
    assert few.feed_bytes == many.feed_bytes == 512 * 4096 * 4
    assert many.copy <= few.copy
    assert many.write < few.write


def test_fp32_states_hold_the_weights_too() -> None:
    shape = ModelShape()
    job = TrainingJob(shape, 32, 256, 10, "fp32")
    layout = Layout(2, micro_batch=8, ranks_per_node=2)
    found = plan_overheads(make_plan(job, layout, NOTHING), job)
    half = plan_overheads(make_plan(job, replace(layout, num_ranks=1), NOTHING), job)
    total = sum_parameters(shape).total
    assert 8 * total <= found.state_bytes < 12 * total  # momentum, and Adam's second for the rest
    assert found.state_bytes == pytest.approx(half.state_bytes)
