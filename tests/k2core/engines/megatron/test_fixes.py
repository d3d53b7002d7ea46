"""Each fix of upstream, on and off: without it training fails, or is silently wrong."""

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from k2core.engines.learner import below
from k2core.engines.megatron import spec, upstream
from k2core.engines.megatron.batch import Batch
from k2core.engines.megatron.trainer import Trainer
from k2core.engines.torchrun import run_ranks
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement
from tests.k2core.engines.megatron import two_ranks

BatchMaker = Callable[..., Batch]
STILL = 1e-12


@pytest.fixture(scope="module")
def found() -> dict[str, float | str]:
    """Gradient norms of two gloo processes by fix; see `two_ranks.py`."""
    return run_ranks(two_ranks.compare_fixes, placement=Placement(num_ranks=2))


def train(shape: ModelShape, batch: Batch, micro_batch: int = 8) -> float:
    placement = Placement(num_ranks=1, micro_batch=micro_batch)
    return Trainer(shape, OptimConfig(), seed=0, placement=placement).step(batch, STILL).grad_norm


def test_a_without_it_a_mock_is_taken_for_transformer_engine(
    shape: ModelShape, make_batch: BatchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    import megatron.core.transformer.multi_latent_attention as mla

    assert mla.HAVE_TE is isinstance(mla.TELinear, type)
    train(shape, make_batch(0))
    monkeypatch.setattr(mla, "HAVE_TE", True)
    with pytest.raises(TypeError, match="isinstance"):
        train(shape, make_batch(0))


def test_b_without_it_the_routers_gemm_has_no_name(
    shape: ModelShape, make_batch: BatchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    import megatron.core.transformer.moe.moe_utils as moe_utils

    monkeypatch.delattr(moe_utils, "te_general_gemm")
    with pytest.raises(NameError, match="te_general_gemm"):
        train(shape, make_batch(0))


def test_c_without_it_mla_finds_no_core_attention(
    shape: ModelShape, monkeypatch: pytest.MonkeyPatch
) -> None:
    from megatron.core.transformer.dot_product_attention import DotProductAttention

    monkeypatch.setattr(spec, "CoreAttention", DotProductAttention)
    with pytest.raises(TypeError, match="k_channels"):
        Trainer(shape, OptimConfig(), seed=0)


def test_d_without_it_norms_refuse_what_tensor_parallel_experts_demand() -> None:
    from megatron.core.transformer.torch_norm import WrappedTorchNorm

    config: Any = types.SimpleNamespace(
        sequence_parallel=True,
        layernorm_zero_centered_gamma=False,
        normalization="RMSNorm",
        persist_layer_norm=False,
        memory_efficient_layer_norm=False,
        params_dtype=torch.float32,
    )
    assert spec.RMSNorm(config, 8).weight.sequence_parallel  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="sequence parallel not supported"):
        WrappedTorchNorm(config, 8)


def test_e_without_it_a_part_of_the_shared_keys_gradient_is_lost(
    found: dict[str, Any],
) -> None:
    right = found["reference"]
    assert found["replicated down-projections"] == pytest.approx(right, rel=1e-5)
    assert found["column-parallel down-projections"] != pytest.approx(right, rel=1e-4)


def test_f_without_it_gloo_is_given_tensors_for_numbers(found: dict[str, Any]) -> None:
    assert found["splits as numbers"] == pytest.approx(found["reference"], rel=1e-5)
    assert "Error" in found["splits as tensors"]


def test_g_a_shared_step_would_be_seen(
    shape: ModelShape, make_batch: BatchMaker, tmp_path: Path
) -> None:
    """Upstream's parameters share one `step` after loading, and each counts it up."""
    config = OptimConfig()
    straight = Trainer(shape, config, seed=0)
    straight.step(make_batch(0), 1e-2)
    straight.save(below(tmp_path))
    straight.step(make_batch(1), 1e-2)

    def resume(num_steps: int | None) -> Trainer:
        trainer = Trainer(shape, config, seed=1)
        trainer.load(tmp_path.joinpath)
        trainer.optimizer.num_steps = num_steps or trainer.optimizer.num_steps
        trainer.step(make_batch(1), 1e-2)
        return trainer

    name = "embedding.word_embeddings.weight"
    wanted = straight.local_weights()
    assert all(torch.equal(w, wanted[n]) for n, w in resume(None).local_weights().items())
    assert not torch.allclose(resume(len(wanted)).local_weights()[name], wanted[name], atol=1e-4)


def test_without_it_small_functions_are_compiled() -> None:
    import megatron.core.jit as jit

    def function() -> None:
        pass

    assert jit.jit_fuser(function) is function
    unfixed = types.ModuleType("unfixed_jit")
    exec(Path(jit.__file__).read_text(), unfixed.__dict__)
    assert unfixed.jit_fuser(function) is not function


def test_without_ours_the_routers_balance_depends_on_micro_batches(
    shape: ModelShape, make_batch: BatchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from megatron.core.transformer.moe.router import TopKRouter

    loud, batch = shape.model_copy(update={"seq_aux_loss": 10.0}), make_batch(0)
    batch = batch._replace(segments=batch.segments.clamp_min(0))  # upstream fails on padding
    assert train(loud, batch, 1) == pytest.approx(train(loud, batch, 8), rel=1e-4)
    monkeypatch.setattr(spec, "BalancedRouter", TopKRouter)
    assert train(loud, batch, 1) != pytest.approx(train(loud, batch, 8), rel=1e-2)


def test_without_ours_the_routers_counts_refuse_padding(
    shape: ModelShape, make_batch: BatchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from megatron.core.transformer.moe.router import TopKRouter

    train(shape, make_batch(0))
    monkeypatch.setattr(spec, "BalancedRouter", TopKRouter)
    with pytest.raises(RuntimeError):
        train(shape, make_batch(0))


def test_fixes_leave_what_is_right() -> None:
    gemm = object()
    with_te = types.SimpleNamespace(te_general_gemm=gemm, TELinear=torch.nn.Linear)
    upstream.mend_routing(with_te)
    upstream.judge_transformer_engine(with_te)
    assert with_te.te_general_gemm is gemm
    assert with_te.HAVE_TE is True

    calls: list[tuple[object, ...]] = []

    def move(*arguments: object) -> np.ndarray:
        calls.append(arguments)
        return np.zeros(1)

    dispatcher = types.SimpleNamespace(maybe_move_tensor_to_cpu=move)
    upstream.list_splits(dispatcher)
    dispatcher.maybe_move_tensor_to_cpu(None, as_numpy=True)
    assert calls == [(None, True, False)]


def test_without_it_our_dense_block_is_warned_of(
    shape: ModelShape,
    make_batch: BatchMaker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import megatron.core.transformer.transformer_layer as layer

    train(shape, make_batch(0))
    assert "Unknown MLP type" not in caplog.text
    monkeypatch.setattr(layer.logger, "filters", [])
    train(shape, make_batch(0))
    assert "Unknown MLP type" in caplog.text
