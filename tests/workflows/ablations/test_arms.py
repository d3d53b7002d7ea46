import math
from pathlib import Path

import numpy as np
import pytest
import torch

from schemas.optim import OptimConfig, Schedule
from workflows.ablations.arms import list_missing, name_arm, train_arm
from workflows.ablations.clipping import heads_arms, stability_arms
from workflows.ablations.configs import (
    NEVER,
    HeadsAblation,
    StabilityAblation,
    TextConfig,
    TrainingArm,
)
from workflows.ablations.kept import keep_result, read_result
from workflows.ablations.paired import mean_difference
from workflows.ablations.text import END, ByteText, collect_text, draw_batch, open_text

FEW = TextConfig(num_knowledge=60, num_code=2, heldout_frac=0.2)
SHORT = TrainingArm(
    text=FEW,
    optim=OptimConfig(lr=1e-2),
    schedule=Schedule(num_steps=3),
    batch_size=2,
    sequence_length=32,
    heldout_rows=2,
    evaluations=1,
)


@pytest.fixture(scope="module")
def text() -> ByteText:
    return collect_text(FEW)


def test_held_out_documents_are_not_read(text: ByteText, tmp_path: Path) -> None:
    def split(part: np.ndarray) -> set[bytes]:
        return {bytes(d.astype(np.uint8)) for d in np.split(part, np.nonzero(part == END)[0] + 1)}

    assert not (split(text.train) & split(text.heldout)) - {b""}
    assert 0.02 < len(text.heldout) / len(text.train) < 0.6
    kept, again = open_text(FEW, tmp_path), open_text(FEW, tmp_path)
    assert np.array_equal(kept.train, text.train)
    assert np.array_equal(again.heldout, text.heldout)


def test_windows_depend_on_the_seed_alone(text: ByteText) -> None:
    one, same = (draw_batch(text.train, 3, 16, (1, 2)) for _ in range(2))
    assert one.tokens.equal(same.tokens)
    assert one.tokens[:, 1:].equal(one.labels[:, :-1])
    assert not one.tokens.equal(draw_batch(text.train, 3, 16, (1, 3)).tokens)


@pytest.mark.parametrize("kind", ["MuonClip", "AdamW", "Muon"])
def test_an_arm_trains_from_the_same_start(kind: str, text: ByteText) -> None:
    optim, schedule = OptimConfig(lr=1e-2, kind=kind), Schedule(num_steps=2, warmup_frac=0)
    result = train_arm(SHORT.model_copy(update={"optim": optim, "schedule": schedule}), text)
    assert result["losses"][0] == pytest.approx(math.log(320), abs=0.1)
    assert result["losses"][1] != result["losses"][0]
    ((at, loss),) = result["heldout"]
    assert at == 2
    assert loss < math.log(320)
    assert [len(layers) for layers in result["max_logits"]] == [2, 2]


def test_whole_layers_are_clipped_only_when_asked(text: ByteText) -> None:
    base = SHORT.model_copy(update={"optim": OptimConfig(lr=1e-2)})
    config = HeadsAblation(base=base, taus=(0.01,), seeds=2)
    arms = heads_arms(config)
    plain, per_head, whole = (train_arm(some[0], text) for some in arms.values())
    heads = base.shape.num_heads
    for step in whole["clipped"]:
        layers = {head // heads for head in step}
        assert step == [layer * heads + h for layer in sorted(layers) for h in range(heads)]
    assert sum(map(len, plain["clipped"])) == 0
    assert 0 < len(per_head["clipped"][0]) <= len(whole["clipped"][0])


def test_stability_arms_differ_in_the_threshold_alone() -> None:
    plain, clipped = stability_arms(StabilityAblation(seeds=2)).values()
    for off, on in zip(plain, clipped, strict=True):
        assert off.optim.qk_clip_tau == NEVER
        assert (
            off.model_copy(update={"optim": off.optim.model_copy(update={"qk_clip_tau": 100.0})})
            == on
        )


def test_finished_arms_are_kept_by_what_they_depend_on(tmp_path: Path) -> None:
    other = SHORT.model_copy(update={"seed": 1})
    keep_result(tmp_path / f"{name_arm(SHORT)}.json", {"losses": [1.0]})
    assert list_missing(tmp_path, [SHORT, other, other]) == [other]
    assert read_result(tmp_path / f"{name_arm(SHORT)}.json") == {"losses": [1.0]}
    (tmp_path / "cut.json").write_text('{"losses": [1')
    with pytest.raises(ValueError, match=r"cut\.json"):
        read_result(tmp_path / "cut.json")


def test_intervals_are_paired() -> None:
    """Differences 1, 2, 3: mean 2, deviation 1, t(2) = 4.303, half-width 4.303 / sqrt(3)."""
    found = mean_difference([11.0, 22.0, 33.0], [10.0, 20.0, 30.0])
    assert found.mean == pytest.approx(2)
    assert found.half_width == pytest.approx(4.303 / math.sqrt(3))
    with pytest.raises(ValueError, match="two"):
        mean_difference([1.0], [2.0])


def test_shared_factors_are_the_layers_smallest() -> None:
    from k2core.optim.qk_clip import share_factors

    factors = torch.tensor([[1.0, 0.5, 0.8], [1.0, 1.0, 1.0]])
    assert share_factors(factors).tolist() == [[0.5] * 3, [1.0] * 3]
