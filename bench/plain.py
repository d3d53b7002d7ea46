"""A K2-shaped model by hand in plain PyTorch, as fast as it comes without an engine.

Grouped experts, torch's fused attention where it takes MLA's widths, no packing, no balance loss,
no logits recorded, no parallelism: the least that a training step of this shape can be.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from k2core.model.scaling import routed_scaling_factor
from schemas.model import ModelShape


class PlainK2(torch.nn.Module):
    """Weights by Hugging Face names, experts stacked. T tokens of B rows of S."""

    def __init__(self, weights: Mapping[str, Tensor], shape: ModelShape, max_length: int) -> None:
        super().__init__()
        self.shape, self.scaling = shape, routed_scaling_factor(shape)
        stacked = dict(weights)
        for layer in range(shape.num_dense_layers, shape.num_layers):
            name = f"model.layers.{layer}.mlp"
            experts = [f"{name}.experts.{expert}" for expert in range(shape.num_experts)]
            gate, up, down = (
                torch.stack([stacked.pop(f"{expert}.{part}_proj.weight") for expert in experts])
                for part in ("gate", "up", "down")
            )
            stacked[f"{name}.up"] = torch.cat([gate, up], 1)  # e 2f h
            stacked[f"{name}.down"] = down  # e h f
        self.biases = {n: stacked.pop(n) for n in list(stacked) if n.endswith("correction_bias")}
        self.w = {n: torch.nn.Parameter(t.clone()) for n, t in stacked.items()}
        for number, parameter in enumerate(self.w.values()):
            self.register_parameter(f"p{number}", parameter)
        width = shape.qk_rope_head_dim
        rates = shape.rope_theta ** (-torch.arange(0, width, 2).float() / width)
        angles = torch.arange(max_length)[:, None] * rates
        self.cos, self.sin = angles.cos(), angles.sin()  # s d/2

    def forward(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of all labels [B, S]."""
        s, w = self.shape, self.w
        x = F.embedding(tokens, w["model.embed_tokens.weight"])  # b s h
        for layer in range(s.num_layers):
            name = f"model.layers.{layer}"
            x = x + self._attend(self._norm(x, f"{name}.input_layernorm"), f"{name}.self_attn")
            h = self._norm(x, f"{name}.post_attention_layernorm")
            dense = layer < s.num_dense_layers
            x = x + (self._feed(h, f"{name}.mlp") if dense else self._route(h, f"{name}.mlp"))
        logits = F.linear(self._norm(x, "model.norm"), w["lm_head.weight"])
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.shape.rms_norm_eps)

    def _rotate(self, x: Tensor) -> Tensor:
        """Neighbouring pairs of [B, heads, S, d]."""
        first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
        cos, sin = self.cos[: x.size(2)], self.sin[: x.size(2)]
        turned = first * cos - second * sin, first * sin + second * cos
        return torch.stack(turned, -1).flatten(-2)

    def _attend(self, h: Tensor, name: str) -> Tensor:
        s, w = self.shape, self.w
        nope, rope, v = s.qk_nope_head_dim, s.qk_rope_head_dim, s.v_head_dim
        latent = self._norm(F.linear(h, w[f"{name}.q_a_proj.weight"]), f"{name}.q_a_layernorm")
        q = F.linear(latent, w[f"{name}.q_b_proj.weight"]).unflatten(-1, (s.num_heads, -1))
        both = F.linear(h, w[f"{name}.kv_a_proj_with_mqa.weight"])
        latent, shared = both.split([s.kv_lora_rank, rope], -1)
        latent = self._norm(latent, f"{name}.kv_a_layernorm")
        kv = F.linear(latent, w[f"{name}.kv_b_proj.weight"]).unflatten(-1, (s.num_heads, -1))
        q_nope, q_rope = q.transpose(1, 2).split([nope, rope], -1)  # b n s d
        k_nope, value = kv.transpose(1, 2).split([nope, v], -1)
        k_rope = self._rotate(shared[:, None]).expand(-1, s.num_heads, -1, -1)
        query = torch.cat([q_nope, self._rotate(q_rope)], -1)
        key = torch.cat([k_nope, k_rope], -1)
        # Equal widths let the fused kernel in: values padded with zeros, which come out again.
        padded = F.pad(value, (0, nope + rope - v))
        out = F.scaled_dot_product_attention(query, key, padded, is_causal=True)[..., :v]
        return F.linear(out.transpose(1, 2).flatten(2), w[f"{name}.o_proj.weight"])

    def _feed(self, h: Tensor, name: str) -> Tensor:
        gate, up, down = (self.w[f"{name}.{p}_proj.weight"] for p in ("gate", "up", "down"))
        return F.linear(F.silu(F.linear(h, gate)) * F.linear(h, up), down)

    def _route(self, h: Tensor, name: str) -> Tensor:
        s, w, flat = self.shape, self.w, h.flatten(0, 1)  # t h
        scores = F.linear(flat, w[f"{name}.gate.weight"]).sigmoid()
        bias = self.biases[f"{name}.gate.e_score_correction_bias"]
        chosen = (scores + bias).topk(s.experts_per_token, -1).indices  # t k
        gates = scores.gather(1, chosen)
        gates = gates / gates.sum(-1, keepdim=True) * self.scaling
        order = chosen.flatten().argsort(stable=True)
        token = order // s.experts_per_token
        ends = chosen.flatten().bincount(minlength=s.num_experts).cumsum(0).to(torch.int32)
        gate, up = torch._grouped_mm(flat[token], w[f"{name}.up"].mT, offs=ends).chunk(2, -1)
        inner = F.silu(gate) * up * gates.flatten()[order][:, None]
        found = torch._grouped_mm(inner, w[f"{name}.down"].mT, offs=ends)
        routed = torch.zeros_like(flat).index_add(0, token, found)
        return self._feed(h, f"{name}.shared_experts") + routed.view_as(h)
