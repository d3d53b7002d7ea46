import pytest
import torch

from bench.parity import Case, all_cases, compare
from k2core.engines.megatron.batch import PADDING, Batch
from k2core.engines.megatron.layout import check_layout, find_seat, stage_layers
from k2core.engines.megatron.micro import cut_micro_batches
from schemas.model import ModelShape
from schemas.placement import Placement


def assert_equal_to_reference(cases: list[Case], num_steps: int) -> None:
    """Weights of order 0.1 within 1e-5: fp32's rounding over the steps, whatever the optimizer."""
    results = compare(cases, num_steps)
    assert [result.name for result in results] == [case.name for case in cases]
    for case, result in zip(cases, results, strict=True):
        assert result.max_difference < 1e-5, result
        assert result.equal_clips, result
        assert (result.num_clips > num_steps) == (case.optim.kind == "MuonClip"), result


DEFAULT = (  # each dimension, storage, option and optimizer once; the slow test has the others
    "dp2 pp2 ep2 matrix recompute-selective alike",
    "dp2 tp2 ep2 flat",
    "cp2 pp2 matrix recompute-selective offload",
    "dp4 flat AdamW",
    "dp2 cp2 ep2 flat AdamW",
    "tp2 pp2 matrix HeavyBall",
)


def test_layouts_equal_a_naive_float64_process() -> None:
    assert_equal_to_reference([case for case in all_cases() if case.name in DEFAULT], 3)


@pytest.mark.slow
def test_every_layout_equals_a_naive_float64_process() -> None:
    assert_equal_to_reference(all_cases(), 20)


def test_seats_and_stages() -> None:
    layout = Placement(num_ranks=8, tp=2, pp=2)
    assert [tuple(find_seat(rank, layout)) for rank in (0, 1, 3, 4, 7)] == [
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (1, 0, 1, 0),
        (0, 0, 0, 1),
        (1, 0, 1, 1),
    ]
    shared = Placement(num_ranks=8, tp=2, cp=2)
    assert [tuple(find_seat(rank, shared)) for rank in (1, 2, 4)] == [
        (1, 0, 0, 0),
        (0, 1, 0, 0),
        (0, 0, 1, 0),
    ]
    stages = stage_layers(5, layout)
    assert stages == [["embedding", *["decoder"] * 3], ["decoder", "decoder", "loss"]]


@pytest.mark.parametrize(
    ("placement", "said"),
    [
        (Placement(num_ranks=3, tp=3), r"model\.num_heads=2 is not a multiple of placement\.tp=3"),
        (Placement(num_ranks=3, ep=3), r"model\.num_experts=4 is not .* placement\.ep=3"),
        (Placement(num_ranks=4, pp=4), r"placement\.pp=4 exceeds model\.num_layers=3"),
    ],
)
def test_a_layout_that_cannot_run_is_refused(
    shape: ModelShape, placement: Placement, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        check_layout(shape, placement)


def test_micro_batches_in_step_have_equal_shapes() -> None:
    segments = torch.zeros(3, 10, dtype=torch.long)
    segments[:, 7:] = PADDING
    segments[2, 3:] = PADDING
    ones = torch.ones(3, 10)
    batch = Batch(ones.long(), ones.long(), ones, segments, {"weight": torch.arange(3)})
    alone = cut_micro_batches(batch, 2, width_multiple=1, largest=None)
    assert [tuple(m.padded.tokens.shape) for m in alone] == [(2, 7), (1, 3)]
    # another rank has three passes of two rows, eight tokens wide
    in_step = cut_micro_batches(
        batch, 2, width_multiple=3, largest=lambda seen: [max(seen[0], 3), 8, 2]
    )
    assert [tuple(m.padded.tokens.shape) for m in in_step] == [(2, 9)] * 3
    assert [len(m.real.tokens) for m in in_step] == [2, 1, 0]
    assert [m.real.extra["weight"].tolist() for m in in_step] == [[0, 1], [2], []]
    padded = in_step[1].padded
    assert padded.segments[1].eq(PADDING).all()
    assert padded.segments[0, 3:].eq(PADDING).all()
    assert padded.loss_mask[0, 7:].sum() == 0
