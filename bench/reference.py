"""K2's model and MuonClip once more, naive and in float64: one process, one tensor at a time.

Nothing here is shared with `k2core`: what the parity bench compares with must err on its own.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from schemas.model import ModelShape
from schemas.optim import OptimConfig

Weights = dict[str, Tensor]


class Clip(NamedTuple):
    """A head rescaled at a step (counted from 1)."""

    step: int
    layer: int
    head: int
    max_logit: float
    factor: float


def _norm(x: Tensor, gain: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * gain


def _rotate(x: Tensor, theta: float) -> Tensor:
    """Rotary positions on neighbouring pairs of [b, s, ..., d]."""
    width = x.size(-1)
    rates = theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(x.size(1), dtype=torch.float64)[:, None] * rates
    turn = torch.polar(torch.ones_like(angles), angles)
    turn = turn.view(1, x.size(1), *[1] * (x.dim() - 3), -1)
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turn).flatten(-2)


class NaiveK2:
    """A model by Hugging Face names, its state of training and its MuonClip steps."""

    def __init__(
        self, weights: Weights, shape: ModelShape, config: OptimConfig, scaling: float
    ) -> None:
        self.shape, self.config, self.scaling = shape, config, scaling
        biased = {n: t.double() for n, t in weights.items()}
        self.biases = {n: t for n, t in biased.items() if n.endswith("correction_bias")}
        self.weights = {n: t.requires_grad_() for n, t in biased.items() if n not in self.biases}
        self.first = {n: torch.zeros_like(t) for n, t in self.weights.items()}
        self.second = {n: torch.zeros_like(t) for n, t in self.weights.items()}
        self.clips: list[Clip] = []
        self.num_steps = 0
        self.torchs = torch.optim.AdamW(
            self.weights.values(),
            lr=0.0,
            betas=config.adam_betas,
            eps=config.adam_eps,
            weight_decay=config.weight_decay,
        )
        self.largest = torch.empty(shape.num_layers, shape.num_heads, dtype=torch.float64)
        self.loads: dict[str, Tensor] = {}

    def loss(self, tokens: Tensor, labels: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """Mean loss of the masked labels [b, s] plus the balance loss, a mean over rows."""
        w, eps = self.weights, self.shape.rms_norm_eps
        x, balance = w["model.embed_tokens.weight"][tokens], torch.zeros((), dtype=torch.float64)
        for layer in range(self.shape.num_layers):
            name = f"model.layers.{layer}"
            h = _norm(x, w[f"{name}.input_layernorm.weight"], eps)
            x = x + self._attend(h, segments, layer)
            h = _norm(x, w[f"{name}.post_attention_layernorm.weight"], eps)
            if layer < self.shape.num_dense_layers:
                x = x + self._feed(h, f"{name}.mlp")
            else:
                routed, share = self._route(h, segments >= 0, f"{name}.mlp")
                x, balance = x + routed, balance + share
        logits = _norm(x, w["model.norm.weight"], eps) @ w["lm_head.weight"].T
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return (losses * mask.flatten()).sum() / mask.sum() + balance

    def _attend(self, h: Tensor, segments: Tensor, layer: int) -> Tensor:
        s, w, name = self.shape, self.weights, f"model.layers.{layer}.self_attn"
        nope, eps = s.qk_nope_head_dim, s.rms_norm_eps
        latent = _norm(h @ w[f"{name}.q_a_proj.weight"].T, w[f"{name}.q_a_layernorm.weight"], eps)
        q = (latent @ w[f"{name}.q_b_proj.weight"].T).unflatten(-1, (s.num_heads, -1))
        both = h @ w[f"{name}.kv_a_proj_with_mqa.weight"].T
        latent, shared = both.split([s.kv_lora_rank, s.qk_rope_head_dim], -1)
        latent = _norm(latent, w[f"{name}.kv_a_layernorm.weight"], eps)
        kv = (latent @ w[f"{name}.kv_b_proj.weight"].T).unflatten(-1, (s.num_heads, -1))
        logits = torch.einsum("bqhd,bkhd->bhqk", q[..., :nope], kv[..., :nope])
        turned = _rotate(q[..., nope:], s.rope_theta)
        logits = logits + torch.einsum("bqhd,bkd->bhqk", turned, _rotate(shared, s.rope_theta))
        logits = logits / math.sqrt(nope + s.qk_rope_head_dim)
        sees = (segments[:, :, None] == segments[:, None]).tril()[:, None]
        real = (segments >= 0)[:, None, :, None]
        self.largest[layer] = logits.detach().masked_fill(~(sees & real), -math.inf).amax((0, 2, 3))
        chances = logits.masked_fill(~sees, -math.inf).softmax(-1) * real
        out = torch.einsum("bhqk,bkhd->bqhd", chances, kv[..., nope:]).flatten(2)
        return out @ w[f"{name}.o_proj.weight"].T

    def _feed(self, h: Tensor, name: str) -> Tensor:
        gate, up, down = (self.weights[f"{name}.{p}_proj.weight"] for p in ("gate", "up", "down"))
        return (F.silu(h @ gate.T) * (h @ up.T)) @ down.T

    def _route(self, h: Tensor, real: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Routed and shared experts of [b, s, h], and the balance loss (arXiv:2412.19437)."""
        s, bias = self.shape, f"{name}.gate.e_score_correction_bias"
        scores = torch.sigmoid(h @ self.weights[f"{name}.gate.weight"].T)
        chosen = (scores + self.biases[bias]).topk(s.experts_per_token, -1).indices
        hot = F.one_hot(chosen, s.num_experts).sum(2).double()
        gates = scores * hot / (scores * hot).sum(-1, keepdim=True) * self.scaling
        out = self._feed(h, f"{name}.shared_experts")
        for expert in range(s.num_experts):
            out = out + gates[..., expert, None] * self._feed(h, f"{name}.experts.{expert}")
        self.loads[bias] = (hot * real[..., None]).sum((0, 1))
        best = F.one_hot(scores.topk(s.experts_per_token, -1).indices, s.num_experts).sum(2)
        lengths = real.sum(1, keepdim=True).clamp_min(1)
        f = (best * real[..., None]).sum(1) * s.num_experts / (s.experts_per_token * lengths)
        share = scores / scores.sum(-1, keepdim=True)
        p = (share * real[..., None]).sum(1) / lengths
        return out, s.seq_aux_loss * (f * p).sum() / len(h)

    def step(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], lr: float) -> None:
        """One step of the optimizer on [b, s] tokens, labels, mask and segments.

        AdamW is torch.optim's own; MuonClip, Muon and the bench's `HeavyBall` are written out.
        """
        self.num_steps += 1
        names = list(self.weights)
        found = torch.autograd.grad(self.loss(*batch), [self.weights[n] for n in names])
        norm = math.sqrt(sum(float(g.square().sum()) for g in found))
        shrink = min(1.0, self.config.clip_grad / norm) if self.config.clip_grad else 1.0
        with torch.no_grad():
            if self.config.kind == "AdamW":
                self._step_torchs([grad * shrink for grad in found], lr)
            else:
                for name, grad in zip(names, found, strict=True):
                    update = self._update(name, grad * shrink)
                    weight = self.weights[name]
                    weight -= lr * (update + self.config.weight_decay * weight)
            if self.config.kind == "MuonClip":
                self._clip()
            for name, load in self.loads.items():
                self.biases[name] += self.shape.bias_update_rate * torch.sign(load.mean() - load)

    def _step_torchs(self, grads: list[Tensor], lr: float) -> None:
        for weight, grad in zip(self.weights.values(), grads, strict=True):
            weight.grad = grad
        self.torchs.param_groups[0]["lr"] = lr
        self.torchs.step()

    def _update(self, name: str, grad: Tensor) -> Tensor:
        m, v, c = self.first[name], self.second[name], self.config
        if c.kind.endswith(":HeavyBall"):
            return m.mul_(c.options["mu"]).add_(grad)
        if grad.dim() < 2 or name.startswith(("model.embed", "lm_head")):
            beta1, beta2 = c.adam_betas
            m.mul_(beta1).add_(grad, alpha=1 - beta1)
            v.mul_(beta2).add_(grad.square(), alpha=1 - beta2)
            root = (v / (1 - beta2**self.num_steps)).sqrt() + c.adam_eps
            return m / (1 - beta1**self.num_steps) / root
        m.mul_(c.momentum).add_(grad)
        fed = grad + c.momentum * m if c.nesterov else m
        return torch.cat([self._orthogonal(part) for part in fed.split(self._heights(name, fed))])

    def _heights(self, name: str, matrix: Tensor) -> list[int]:
        s = self.shape
        if self.config.split_heads and name.endswith("q_b_proj.weight"):
            return [s.qk_nope_head_dim + s.qk_rope_head_dim] * s.num_heads
        if self.config.split_heads and name.endswith("kv_b_proj.weight"):
            return [s.qk_nope_head_dim, s.v_head_dim] * s.num_heads
        return [len(matrix)]

    def _orthogonal(self, x: Tensor) -> Tensor:
        scale, tall = 0.2 * math.sqrt(max(x.shape)), len(x) > len(x.T)
        x = (x.T if tall else x) / (x.norm() + 1e-7)
        for _ in range(5):
            gram = x @ x.T
            x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
        return (x.T if tall else x) * scale

    def _clip(self) -> None:
        s, tau = self.shape, self.config.qk_clip_tau
        nope, head = s.qk_nope_head_dim, s.qk_nope_head_dim + s.qk_rope_head_dim
        for layer, largest in enumerate(self.largest.tolist()):
            name = f"model.layers.{layer}.self_attn"
            queries = self.weights[f"{name}.q_b_proj.weight"]
            keys = self.weights[f"{name}.kv_b_proj.weight"]
            for h, logit in enumerate(largest):
                if logit > tau:
                    g, row, kv = tau / logit, h * head, h * (nope + s.v_head_dim)
                    queries[row : row + nope] *= math.sqrt(g)
                    queries[row + nope : row + head] *= g
                    keys[kv : kv + nope] *= math.sqrt(g)
                    self.clips.append(Clip(self.num_steps, layer, h, logit, g))
