"""One data-parallel rank of MuonClip training, in the current process.

Under torchrun every process builds a `Trainer` and passes its own rows to `step`; on one machine
`k2core.engines.megatron.ranks.TrainerGroup` does the same with child processes. One code path.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from k2core.engines.megatron import resume
from k2core.engines.megatron.batch import (
    PADDING,
    Batch,
    NonFiniteError,
    Objective,
    StepStats,
    Totals,
    language_model_loss,
)
from k2core.engines.megatron.clipping import clip_attention
from k2core.engines.megatron.optimizer import MuonClipOptimizer
from k2core.engines.megatron.process_group import join_ranks
from k2core.engines.megatron.spec import build_model
from k2core.model.hf import load_weights
from k2core.model.names import from_hf, to_hf
from megatron.core.distributed.finalize_model_grads import (
    _update_router_expert_bias,
    reset_model_temporary_tensors,
)
from megatron.core.transformer.moe.moe_utils import MoEAuxLossAutoScaler
from schemas.model import ModelShape
from schemas.optim import OptimConfig


class Trainer:
    """A K2-shaped Megatron GPTModel with MuonClip.

    Args:
        shape: the model.
        optim: the optimizer.
        seed: decides the random initial weights.
        checkpoint: a folder in the Hugging Face layout to start from; None starts at random.
        micro_batch: rows a forward pass; changes memory and speed, not results.
    """

    def __init__(
        self,
        shape: ModelShape,
        optim: OptimConfig,
        *,
        seed: int,
        checkpoint: Path | None = None,
        micro_batch: int = 8,
    ) -> None:
        join_ranks()
        self.shape = shape
        self.micro_batch = micro_batch
        self.model = build_model(shape, seed).train()
        if torch.cuda.is_available():
            self.model.cuda()
        self.device = next(self.model.parameters()).device
        if checkpoint is not None:
            self._import(load_weights(checkpoint))
        self.optimizer = MuonClipOptimizer(dict(self.model.named_parameters()), optim)

    @property
    def num_steps(self) -> int:
        """Optimizer steps taken."""
        return self.optimizer.num_steps

    def step(
        self, batch: Batch, lr: float, objective: Objective = language_model_loss
    ) -> StepStats:
        """Forward, backward, all-reduce, MuonClip; the loss is the global batch's.

        Args:
            batch: this rank's rows of the global batch; may be empty.
            lr: learning rate of this step.
            objective: what to minimise.

        Raises:
            NonFiniteError: loss or gradient is NaN or infinite; the weights stay as they were.
        """
        used = float((batch.segments != PADDING).sum())
        sums = [float(batch.loss_mask.sum()), float(len(batch.tokens)), used]
        mask_sum, rows, tokens = self._sum_over_ranks(sums)
        batch = batch._replace(totals=Totals(mask_sum, int(rows)))
        self.optimizer.gradient.zero_()
        loss, metrics = 0.0, dict[str, float]()
        for part in self._micro_batches(batch):
            share = objective(self._forward(part, part.loss_mask), part)
            MoEAuxLossAutoScaler.set_loss_scale(torch.tensor(1.0 / rows, device=self.device))
            share.loss.backward()
            loss += float(share.loss.detach())
            for name, value in share.metrics.items():
                metrics[name] = metrics.get(name, 0.0) + float(value)
        names = self._metric_names(metrics)
        loss, *values = self._sum_over_ranks([loss, *(metrics.get(n, 0.0) for n in names)])
        grad_norm = self.optimizer.reduce_gradients()
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise NonFiniteError(f"loss {loss}, gradient norm {grad_norm}")
        self.optimizer.step(lr)
        clipped = clip_attention(self.model, self.shape, self.optimizer.config.qk_clip_tau)
        self._balance_experts()
        found = dict(zip(names, values, strict=True))
        return StepStats(loss, grad_norm, clipped.max_logits, clipped.events, int(tokens), found)

    @torch.no_grad()
    def logprobs(self, batch: Batch) -> Tensor:
        """Log p of each label [B, S], on the CPU; 0 at padding."""
        self.model.eval()
        out = torch.zeros(batch.labels.shape)
        start = 0
        for part in self._micro_batches(batch):
            rows, width = part.labels.shape
            out[start : start + rows, :width] = self._forward(part).cpu()
            start += rows
        self.model.train()
        return out.masked_fill_(batch.segments.cpu() == PADDING, 0.0)

    @torch.no_grad()
    def logits(self, tokens: Tensor) -> Tensor:
        """Next-token logits [B, S, V] of whole rows [B, S], on the CPU in fp32."""
        positions = torch.arange(tokens.size(1), device=self.device).expand_as(tokens)
        segments = torch.zeros_like(tokens, device=self.device)
        self.model.eval()
        found: Tensor = self.model(tokens.to(self.device), positions, segments)
        self.model.train()
        return found.float().cpu()

    def export_weights(self) -> dict[str, Tensor]:
        """All weights by Hugging Face names: on the CPU, fp32, contiguous copies."""
        state = {n: t for n, t in self.model.state_dict().items() if isinstance(t, Tensor)}
        exported = to_hf(state, self.shape).items()
        return {n: t.detach().to("cpu", torch.float32, copy=True).contiguous() for n, t in exported}

    def save(self, folder: Path) -> None:
        """Write what an exact continuation needs, this rank's share; all ranks take part."""
        resume.save_rank(folder, self.model, self.optimizer)

    def load(self, folder: Path) -> None:
        """Continue from `save`'s folder, bit for bit if the number of ranks is the same."""
        resume.load_rank(folder, self.model, self.optimizer)

    def _import(self, weights: dict[str, Tensor]) -> None:
        state = self.model.state_dict()
        with torch.no_grad():
            for name, tensor in from_hf(weights, self.shape).items():
                if state[name].numel() != tensor.numel():
                    raise ValueError(
                        f"{name} is {list(tensor.shape)} in the checkpoint, and "
                        f"{list(state[name].shape)} in the model shape"
                    )
                state[name].copy_(tensor.view(state[name].shape))

    def _micro_batches(self, batch: Batch) -> Iterator[Batch]:
        for start in range(0, len(batch.tokens), self.micro_batch):
            part = batch.select_rows(start, start + self.micro_batch).cut_padding()
            yield part.map(lambda tensor: tensor.to(self.device))

    def _forward(self, batch: Batch, counts: Tensor | None = None) -> Tensor:
        """Log p of the labels [B, S], with gradients unless they are off.

        Where `counts` [B, S] is given, only where it is not 0; elsewhere 0.
        """
        positions = torch.arange(batch.tokens.size(1), device=self.device)
        padding = batch.segments == PADDING
        losses: Tensor = self.model(
            batch.tokens,
            positions.expand_as(batch.tokens),
            batch.segments,
            labels=batch.labels,
            loss_mask=counts,
            padding_mask=padding if bool(padding.any()) else None,
        )
        return -losses

    def _balance_experts(self) -> None:
        """b_i += u * sign(mean load - load_i), over the global batch (arXiv:2412.19437, 2.1.2)."""
        if self.shape.num_dense_layers < self.shape.num_layers:
            _update_router_expert_bias([self.model], self.model.config)
            reset_model_temporary_tensors(self.model.config, [self.model])

    def _sum_over_ranks(self, values: list[float]) -> list[float]:
        if dist.get_world_size() == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(v) for v in total.tolist()]

    @staticmethod
    def _metric_names(metrics: dict[str, float]) -> list[str]:
        """All ranks' metric names in one order: a rank without rows has none of its own."""
        if dist.get_world_size() == 1:
            return sorted(metrics)
        gathered: list[list[str]] = [[] for _ in range(dist.get_world_size())]
        dist.all_gather_object(gathered, sorted(metrics))
        return sorted({name for names in gathered for name in names})
