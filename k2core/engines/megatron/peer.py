"""torch's own optimizers in MuonClip's place, for comparisons on the same model and gradients."""

from collections.abc import Mapping
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from k2core.engines.megatron.optimizer import Groups, MuonClipOptimizer
from k2core.engines.megatron.trainer import Trainer
from schemas.model import ModelShape
from schemas.optim import OptimConfig

Peer = Literal["AdamW", "Muon"]


class PeerOptimizer(MuonClipOptimizer):
    """torch.optim.AdamW for everything, or torch.optim.Muon with AdamW for what is no matrix.

    Both as torch ships them, on this trainer's buffers: gradients are summed and clipped as for
    MuonClip, and the matrices are the same (experts, gate and up apart: torch.optim.Muon refuses
    stacks). There is no QK-Clip.

    Raises:
        ValueError: several ranks, or bf16 weights: the buffers would not be the weights.
    """

    def __init__(
        self,
        parameters: Mapping[str, torch.nn.Parameter],
        config: OptimConfig,
        shape: ModelShape,
        groups: Groups,
        *,
        peer: Peer,
    ) -> None:
        if dist.get_world_size() > 1 or config.precision != "fp32":
            raise ValueError(
                f"torch.optim.{peer} runs here on one rank in fp32, not on "
                f"{dist.get_world_size()} in {config.precision}"
            )
        super().__init__(parameters, config, shape, groups)
        self._peers = self._build_muon() if peer == "Muon" else [self._build_adamw(self._whole())]

    @torch.no_grad()
    def step(self, lr: float, row_scales: Mapping[str, Tensor] | None = None) -> None:
        """One update of all parameters from the gradient buffers.

        Raises:
            ValueError: a head is to be clipped, which torch's optimizers cannot.
        """
        if row_scales:
            raise ValueError("torch's optimizers do not clip: set optim.qk_clip_tau out of reach")
        self.num_steps += 1
        for peer in self._peers:
            for group in peer.param_groups:
                group["lr"] = lr
            peer.step()

    def _whole(self) -> list[Tensor]:
        """Everything: AdamW works element by element, so a flat buffer is one parameter."""
        for bucket in self.buckets:
            bucket.master.grad = bucket.own_gradient
        return [bucket.master for bucket in self.buckets]

    def _build_adamw(self, tensors: list[Tensor]) -> torch.optim.Optimizer:
        config = self.config
        return torch.optim.AdamW(
            tensors,
            lr=config.lr,
            betas=config.adam_betas,
            eps=config.adam_eps,
            weight_decay=config.weight_decay,
        )

    def _build_muon(self) -> list[torch.optim.Optimizer]:
        matrices, others = [], []
        for bucket in self.buckets:
            for m in bucket.matrices:
                matrix = bucket.master[m.start : m.stop].view(m.rows, m.columns)
                matrix.grad = bucket.own_gradient[m.start : m.stop].view(m.rows, m.columns)
                matrices.append(matrix)
            for span in bucket.spans:
                if not self._is_muon(span):
                    other = span.of(bucket.master)
                    other.grad = span.of(bucket.own_gradient)
                    others.append(other)
        muon = torch.optim.Muon(
            matrices,
            lr=self.config.lr,
            weight_decay=self.config.weight_decay,
            momentum=self.config.momentum,
            adjust_lr_fn="match_rms_adamw",
        )
        return [muon, self._build_adamw(others)]


class PeerTrainer(Trainer):
    """A `Trainer` whose steps are torch's: one rank."""

    def __init__(self, shape: ModelShape, optim: OptimConfig, *, seed: int, peer: Peer) -> None:
        self._peer = peer
        super().__init__(shape, optim, seed=seed)

    def _build_optimizer(self, optim: OptimConfig) -> MuonClipOptimizer:
        ours = super()._build_optimizer(optim)
        return PeerOptimizer(ours.parameters, optim, self.shape, ours.groups, peer=self._peer)
