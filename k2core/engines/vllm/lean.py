"""A forward pass of few calls: how a small model on CPU cores makes a token.

vLLM's own passes many small operations through modules of modules, Python and torch's dispatcher,
and on CPU cores no graph is captured of them: a small model waits for that longer than for its
arithmetic. Here is the same arithmetic in fewer calls, by the kernels that vLLM has for the CPU.
Weights stay where vLLM puts them, so that updates reach this as they reach the model. What is not
of K2's plain shape keeps vLLM's own pass.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
import vllm._custom_ops as ops
from torch import Tensor
from torch.nn.functional import pad
from vllm.forward_context import get_forward_context
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.fused_moe.experts.cpu_moe import CPUUnquantizedExperts
from vllm.model_executor.layers.fused_moe.runner.moe_runner import MoERunner
from vllm.model_executor.layers.layernorm import RMSNorm
from vllm.model_executor.layers.linear import LinearBase
from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding
from vllm.model_executor.models.deepseek_v2 import (
    DeepseekV2Attention,
    DeepseekV2DecoderLayer,
    DeepseekV2ForCausalLM,
    DeepseekV2MLP,
    DeepseekV2Model,
    DeepseekV2MoE,
)

_rms_norm = torch.ops._C.rms_norm.default
_add_rms_norm = torch.ops._C.fused_add_rms_norm.default
_silu_and_mul = torch.ops._C.silu_and_mul.default


class _Layer(NamedTuple):
    """Of a decoder, its parts at hand: a module looks each of them up among its own."""

    before_attention: RMSNorm
    attend: Callable[[Tensor, Tensor], Tensor]
    before_feeding: RMSNorm
    feed: Callable[[Tensor], Tensor]


def run_lean(model: torch.nn.Module) -> bool:
    """Have a model make its forward passes in few calls, where it can; whether it can.

    Args:
        model: of a worker that has all of it; its weights may come later, and change.
    """
    if not (isinstance(model, DeepseekV2ForCausalLM) and _is_plain(model)):
        return False
    inner: DeepseekV2Model = model.model
    first = inner.layers[0].self_attn.rotary_emb
    cos, sin = first.cos_sin_cache.float().chunk(2, dim=-1)
    layers = [
        _Layer(
            layer.input_layernorm,
            partial(_attend, layer.self_attn, layer.self_attn.attn),
            layer.post_attention_layernorm,
            partial(_feed_experts if isinstance(layer.mlp, DeepseekV2MoE) else _feed, layer.mlp),
        )
        for layer in inner.layers
    ]
    inner.forward = partial(_forward, inner, layers, torch.complex(cos, sin).unsqueeze(1))
    return True


def _is_plain(model: DeepseekV2ForCausalLM) -> bool:
    """Whether it is all here, in float32, with latent attention and experts in a single group."""
    config = model.config
    told = [getattr(config, name, None) for name in ("n_group", "scoring_func", "norm_topk_prob")]
    embedding = model.model.embed_tokens.weight
    return bool(
        told == [1, "sigmoid", True]
        and embedding.device.type == "cpu"
        and embedding.dtype == torch.float32
        and all(map(_is_plain_layer, model.model.layers))
    )


def _is_plain_layer(layer: DeepseekV2DecoderLayer) -> bool:
    attention, mlp = layer.self_attn, layer.mlp
    if not isinstance(attention, DeepseekV2Attention):
        return False
    rotary = attention.rotary_emb
    turns = type(rotary) is RotaryEmbedding and not rotary.is_neox_style
    whole = attention.num_local_heads == attention.num_heads
    if isinstance(mlp, DeepseekV2MoE):
        whole &= mlp.ep_size == mlp.tp_size == 1 and mlp.gate.e_score_correction_bias is not None
    else:
        whole &= isinstance(mlp, DeepseekV2MLP)
    return turns and whole


def _forward(
    inner: DeepseekV2Model,
    layers: Sequence[_Layer],
    turns: Tensor,
    input_ids: Tensor,
    positions: Tensor,
    intermediate_tensors: None = None,
    inputs_embeds: Tensor | None = None,
) -> Tensor:
    """As `DeepseekV2Model.forward`: tokens and positions [T] to hidden states [T, h]."""
    residual = inner.embed_input_ids(input_ids) if inputs_embeds is None else inputs_embeds
    turn = turns[positions]  # [T, 1, d/2] complex, of unit length
    hidden = torch.empty_like(residual)
    _rms_norm(hidden, residual, layers[0].before_attention.weight, inner.norm.variance_epsilon)
    for number, layer in enumerate(layers):
        if number:
            norm = layer.before_attention
            _add_rms_norm(hidden, residual, norm.weight, norm.variance_epsilon)
        hidden = layer.attend(hidden, turn)
        norm = layer.before_feeding
        _add_rms_norm(hidden, residual, norm.weight, norm.variance_epsilon)
        hidden = layer.feed(hidden)
    _add_rms_norm(hidden, residual, inner.norm.weight, inner.norm.variance_epsilon)
    return hidden


def _attend(block: DeepseekV2Attention, core: Attention, hidden: Tensor, turn: Tensor) -> Tensor:
    """Multi-head attention over expanded latents. H heads, n + r of a query, v of a value."""
    nope, wide = block.qk_nope_head_dim, block.v_head_dim
    heads, size = block.num_heads, block.qk_head_dim
    if block.q_lora_rank is None:
        query = _multiply(block.q_proj, hidden)
    else:
        small = _norm(block.q_a_layernorm, _multiply(block.q_a_proj, hidden))
        query = _multiply(block.q_b_proj, small)
    query = query.view(-1, heads, size)
    latent = _multiply(block.kv_a_proj_with_mqa, hidden)
    small = latent[:, : block.kv_lora_rank].contiguous()
    both = _multiply(block.kv_b_proj, _norm(block.kv_a_layernorm, small))
    both = both.view(-1, heads, nope + wide)
    _turn(query[..., nope:], turn)
    shared = latent[:, block.kv_lora_rank :].unsqueeze(1)
    _turn(shared, turn)
    key = torch.empty_like(query)
    key[..., :nope] = both[..., :nope]
    key[..., nope:] = shared
    value = pad(both[..., nope:], (0, size - wide))  # the cache has one width
    context = get_forward_context()
    if context.attn_metadata is None:  # a run to measure memory
        return _multiply(block.o_proj, query[..., :wide].reshape(-1, heads * wide))
    name, output = core.layer_name, torch.empty_like(query)
    core.impl.do_kv_cache_update(core, key, value, core.kv_cache, context.slot_mapping[name])
    told = context.attn_metadata[name]
    core.impl.forward(core, query, key, value, core.kv_cache, told, output=output)
    return _multiply(block.o_proj, output[..., :wide].reshape(-1, heads * wide))


def _turn(pairs: Tensor, turn: Tensor) -> None:
    """Rotary positions in place: neighbours [T, H, r] are the two parts of a complex number."""
    torch.view_as_complex(pairs.unflatten(-1, (-1, 2))).mul_(turn)


def _feed(block: DeepseekV2MLP, hidden: Tensor) -> Tensor:
    """SwiGLU."""
    both = _multiply(block.gate_up_proj, hidden)
    inner = both.new_empty(len(both), both.size(1) // 2)
    _silu_and_mul(inner, both)
    return _multiply(block.down_proj, inner)


def _feed_experts(block: DeepseekV2MoE, hidden: Tensor) -> Tensor:
    """Routed experts by biased scores (arXiv:2412.19437, equations 12 to 16), and the shared."""
    runner: MoERunner = block.experts
    scores = _multiply(block.gate, hidden).sigmoid_()
    chosen = (scores + block.gate.e_score_correction_bias).topk(
        runner.router.top_k, -1, sorted=False
    )[1]
    weights = scores.gather(1, chosen)
    scale = runner.router.routed_scaling_factor * runner.routed_scaling_factor
    weights *= scale / weights.sum(-1, keepdim=True)
    experts, output = runner.routed_experts, torch.empty_like(hidden)
    ops.cpu_fused_moe(
        output,
        hidden,
        experts.w13_weight,
        experts.w2_weight,
        None,
        None,
        weights,
        chosen.int(),
        "silu",
        CPUUnquantizedExperts.isa,
    )
    if block.shared_experts is not None:
        output += _feed(block.shared_experts, hidden)
    return output


def _norm(norm: RMSNorm, hidden: Tensor) -> Tensor:
    normed = torch.empty_like(hidden)
    _rms_norm(normed, hidden, norm.weight, norm.variance_epsilon)
    return normed


def _multiply(layer: LinearBase, hidden: Tensor) -> Tensor:
    """By the weight as vLLM has packed it last."""
    product: Tensor = layer.cpu_linear(hidden, layer.weight, None)
    return product
