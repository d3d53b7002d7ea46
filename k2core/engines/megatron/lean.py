"""Feed-forward blocks; lean ones keep only what SwiGLU reads, and compute the rest anew.

K2 recomputes SwiGLU and the products after it instead of keeping them (arXiv:2507.20534, section
2.4.3); values and gradients are those of the plain blocks, but for FP8 storage's rounding.
"""

from typing import Protocol

import torch
from megatron.core.tensor_parallel.random import CheckpointWithoutOutput
from megatron.core.transformer.mlp import MLP
from megatron.core.transformer.moe.shared_experts import SharedExpertMLP
from torch import Tensor

from k2core.engines.megatron.fp8_storage import PackedTensor, pack, packing, unpack
from k2core.engines.megatron.seams import Context
from k2core.engines.megatron.swiglu import gated_swiglu, swiglu


class SwigluExperts(torch.autograd.Function):
    """Routed experts' SwiGLU; keeps the tokens and gate | up alone. T tokens, E experts."""

    @staticmethod
    def forward(
        ctx: Context, hidden: Tensor, weight1: Tensor, weight2: Tensor, gates: Tensor, ends: Tensor
    ) -> Tensor:
        """As `GroupedExperts`: tokens [t, h], weights [e, 2f, h] and [e, h, f], gates [t]."""
        both = torch._grouped_mm(hidden, weight1.mT, offs=ends)  # t 2f
        inner = gated_swiglu(both, gates.unsqueeze(-1).to(both.dtype))
        ctx.save_for_backward(hidden, both, weight1, weight2, gates, ends)
        return torch._grouped_mm(inner, weight2.mT, offs=ends)

    @staticmethod
    def backward(ctx: Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Recomputes SwiGLU from gate | up; no product of matrices is repeated."""
        return (*_experts_backward(grad, *ctx.saved_tensors), None)


class _Typed(Context, Protocol):
    dtype: torch.dtype


class PackedSwigluExperts(torch.autograd.Function):
    """The same with tokens and gate | up kept in FP8."""

    @staticmethod
    def forward(
        ctx: _Typed, hidden: Tensor, weight1: Tensor, weight2: Tensor, gates: Tensor, ends: Tensor
    ) -> Tensor:
        """As `SwigluExperts.forward`, whose result it has."""
        both = torch._grouped_mm(hidden, weight1.mT, offs=ends)
        inner = gated_swiglu(both, gates.unsqueeze(-1).to(both.dtype))
        small, wide = pack(hidden), pack(both)
        ctx.save_for_backward(*small[:2], *wide[:2], weight1, weight2, gates, ends)
        ctx.dtype = hidden.dtype
        return torch._grouped_mm(inner, weight2.mT, offs=ends)

    @staticmethod
    def backward(ctx: _Typed, grad: Tensor) -> tuple[Tensor | None, ...]:
        """As `SwigluExperts.backward`, from rounded tokens and gate | up."""
        values, scales, wide_values, wide_scales, *rest = ctx.saved_tensors
        hidden = unpack(PackedTensor(values, scales, ctx.dtype))
        both = unpack(PackedTensor(wide_values, wide_scales, ctx.dtype))
        return (*_experts_backward(grad, hidden, both, *rest), None)


def _experts_backward(
    grad: Tensor,
    hidden: Tensor,
    both: Tensor,
    weight1: Tensor,
    weight2: Tensor,
    gates: Tensor,
    ends: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of tokens, weights and gates from the output's [t, h]."""
    gate, up = both.chunk(2, dim=-1)  # t f
    column = gates.unsqueeze(-1).to(both.dtype)
    chance = torch.sigmoid(gate)
    silu = gate * chance
    product = silu * up
    d_inner = torch._grouped_mm(grad, weight2, offs=ends)
    d_weight2 = torch._grouped_mm(grad.mT, product * column, offs=ends)  # e h f
    d_gates = (d_inner * product).sum(-1).to(gates.dtype)
    d_product = d_inner * column
    d_gate = d_product * up * (chance + silu * (1 - chance))
    d_both = torch.cat([d_gate, d_product * silu], -1)
    d_hidden = torch._grouped_mm(d_both, weight1, offs=ends)
    d_weight1 = torch._grouped_mm(d_both.mT, hidden, offs=ends)  # e 2f h
    return d_hidden, d_weight1, d_weight2, d_gates


def run_experts(
    hidden: Tensor, weight1: Tensor, weight2: Tensor, gates: Tensor, ends: Tensor, *, fp8: bool
) -> Tensor:
    """Routed experts, lean."""
    kind = PackedSwigluExperts if fp8 else SwigluExperts
    found: Tensor = kind.apply(  # type: ignore[no-untyped-call]
        hidden, weight1, weight2, gates, ends
    )
    return found


def _feed(block: "DenseBlock | SharedExperts", hidden: Tensor) -> tuple[Tensor, None]:
    """Up-projection, SwiGLU (lean: dropped until the backward), down-projection."""
    both, _ = block.linear_fc1(hidden)
    if not (block.config.lean and torch.is_grad_enabled()):
        return block.linear_fc2(swiglu(both))[0], None
    kept = CheckpointWithoutOutput()
    fp8 = block.config.fp8_storage and isinstance(block, SharedExpertMLP)
    with packing(fp8, block.config.offloader):
        inner = kept.checkpoint(swiglu, both)
    out, _ = block.linear_fc2(inner)
    kept.discard_output_and_register_recompute(out)
    return out, None


class DenseBlock(MLP):
    """The dense block."""

    def forward(
        self, hidden_states: Tensor, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, None]:
        """SwiGLU of [s, b, h]."""
        return _feed(self, hidden_states)


class SharedExperts(SharedExpertMLP):
    """The experts that every token visits."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """SwiGLU of [s, b, h]."""
        return _feed(self, hidden_states)[0]
