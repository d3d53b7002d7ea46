"""Optimizers through their seam; `test_layouts.py` has each on four ranks."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from k2core.engines.learner import below
from k2core.engines.megatron.batch import Batch
from k2core.engines.megatron.trainer import Trainer
from k2core.optim.registry import load_rule
from k2core.parallel.layout import Layout
from k2core.parallel.plan import TrainingJob, memory_in
from schemas.model import ModelShape
from schemas.optim import OptimConfig

BatchMaker = Callable[..., Batch]
OWN = "bench.heavy_ball:HeavyBall"
KINDS = {
    "MuonClip": OptimConfig(qk_clip_tau=0.05),
    "Muon": OptimConfig(kind="Muon", qk_clip_tau=0.05),
    "AdamW": OptimConfig(kind="AdamW", qk_clip_tau=0.05),
    "own": OptimConfig(kind=OWN, options={"mu": 0.9}, qk_clip_tau=0.05),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_learns_is_counted_and_goes_on_from_its_state(
    kind: str, shape: ModelShape, make_batch: BatchMaker, tmp_path: Path
) -> None:
    config = KINDS[kind].model_copy(update={"lr": 2e-3})
    straight, batch = Trainer(shape, config, seed=0), make_batch(0)
    seen = [straight.step(batch, 2e-2 if kind == "own" else 2e-3) for _ in range(3)]
    assert seen[-1].loss < seen[0].loss
    assert bool(seen[-1].clips) == (kind == "MuonClip")
    assert min(seen[-1].groups[f"update_rms/{g}"] for g in ("norms", "experts", "output")) > 0
    straight.save(below(tmp_path))
    resumed = Trainer(shape, config, seed=1)
    resumed.load(tmp_path.joinpath)
    for trainer in (straight, resumed):
        trainer.step(make_batch(1), 2e-3)
    wanted = straight.local_weights()
    assert all(torch.equal(t, wanted[n]) for n, t in resumed.local_weights().items())

    others = (config.kind for config in KINDS.values() if config.kind != KINDS[kind].kind)
    other = next(others)
    refusing = Trainer(shape, next(c for c in KINDS.values() if c.kind == other), seed=0)
    with pytest.raises(ValueError, match=rf"optim\.kind={config.kind}, which optim\.kind={other}"):
        refusing.load(tmp_path.joinpath)


@pytest.mark.parametrize("kind", KINDS)
def test_the_plan_counts_the_bytes_that_a_kind_keeps(kind: str, shape: ModelShape) -> None:
    states = Trainer(shape, KINDS[kind], seed=0).optimizer.named_states().items()
    (memory,) = memory_in(TrainingJob(shape, 8, 64, 1, "fp32", KINDS[kind]), Layout(1))
    # in fp32 the masters are the weights
    kept = sum(t.numel() * 4 for key, t in states if not key.startswith("weight/"))
    assert memory.optimizer == kept


def test_muon_in_torchs_form_is_torchs() -> None:
    """Three updates of three matrices, both with Newton-Schulz in bf16: right to 1 in 100 each."""
    optim = OptimConfig(kind="Muon", nesterov=True, newton_schulz_precision="bf16")
    rule = load_rule(optim)
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((24, 48), (48, 24), (32, 32))]
    theirs = torch.optim.Muon(
        weights, lr=1.0, weight_decay=0.0, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    states = [{"first": torch.zeros(weight.numel())} for weight in weights]
    for step in range(3):
        fed = []
        for weight, state in zip(weights, states, strict=True):
            weight.grad = torch.randn(weight.shape, generator=generator)
            flat = weight.grad.flatten().clone()
            fed.append(rule.advance(flat, state, step + 1, matrix=True).view_as(weight))
        before = [weight.detach().clone() for weight in weights]
        theirs.step()
        for found in rule.directions(fed):
            for place, direction in zip(found.places, found.stack.float(), strict=True):
                moved = before[place] - weights[place]
                apart = (moved - direction * found.scale).norm() / moved.norm()
                assert apart < 0.03, (step, place)


def test_bad_kinds_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"MuonClip\|Muon\|AdamW"):
        OptimConfig(kind="Adam")
    with pytest.raises(ValueError, match=r"no module 'no_such_module'"):
        OptimConfig(kind="no_such_module:Rule")
    with pytest.raises(ValueError, match=r"options \(mu\).*AdamW"):
        OptimConfig(kind="AdamW", options={"mu": 0.9})
    with pytest.raises(ValueError, match=r"bench\.heavy_ball has no Ball"):
        load_rule(OptimConfig(kind="bench.heavy_ball:Ball"))
    with pytest.raises(TypeError, match=r"UpdateRule"):
        load_rule(OptimConfig(kind="bench.heavy_ball:Tensor"))


def test_other_source_is_another_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "changing_rule.py"
    module.write_text("from bench.heavy_ball import HeavyBall\n")
    before = OptimConfig(kind="changing_rule:HeavyBall", options={"mu": 0.9})
    assert OptimConfig.model_validate_json(before.model_dump_json()) == before
    assert load_rule(before).state_names(matrix=True) == ("velocity",)
    module.write_text("from bench.heavy_ball import HeavyBall  # changed\n")
    assert OptimConfig(kind="changing_rule:HeavyBall", options={"mu": 0.9}) != before
    with pytest.raises(ValueError, match="make the config anew"):
        load_rule(before)
