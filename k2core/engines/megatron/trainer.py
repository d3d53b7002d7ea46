"""One rank of training, in the current process.

Every rank builds a `Trainer` and passes its own rows to `step`: a process alone, the ranks that
`k2core.engines.torchrun.run_ranks` starts on a machine, or those of a cluster.
"""

import math
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.distributed.finalize_model_grads import (
    _update_router_expert_bias,
    reset_model_temporary_tensors,
)
from megatron.core.pipeline_parallel import get_forward_backward_func
from torch import Tensor

from k2core.engines.learner import Fetch, Peer, T, Weights, Writing
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
from k2core.engines.megatron.checkpoint import export_checkpoint, import_checkpoint
from k2core.engines.megatron.clipping import plan_clips
from k2core.engines.megatron.context import gather_rows, take_own
from k2core.engines.megatron.folding import can_fold
from k2core.engines.megatron.layout import check_layout, find_seat
from k2core.engines.megatron.masks import masks_of
from k2core.engines.megatron.micro import MicroBatch, cut_passes, row_temperatures
from k2core.engines.megatron.offload import offload_layers
from k2core.engines.megatron.optimizer import OptimizerGroups, ShardedOptimizer
from k2core.engines.megatron.process_group import join_ranks
from k2core.engines.megatron.shards import list_shards
from k2core.engines.megatron.spec import build_model
from k2core.engines.megatron.spread import SpreadWeights
from k2core.optim.registry import load_rule
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement


class Accumulated(NamedTuple):
    """Of a global batch whose gradients are in the buffers; equal on all ranks."""

    loss: float
    tokens: int
    """Padding left out."""
    metrics: dict[str, float]
    """The objective's own figures."""


class Trainer:
    """A K2-shaped Megatron GPTModel, or this rank's part of it, with its optimizer.

    Args:
        shape: the model.
        optim: the optimizer.
        seed: decides the random initial weights.
        checkpoint: a folder in the Hugging Face layout to start from; None starts at random.
        placement: the layout over ranks and the rows a forward pass; results differ by the order
            of additions alone.
    """

    def __init__(
        self,
        shape: ModelShape,
        optim: OptimConfig,
        *,
        seed: int,
        checkpoint: Path | None = None,
        placement: Placement | None = None,
    ) -> None:
        self.placement = placement or Placement(num_ranks=1)
        check_layout(shape, self.placement)
        self.ranks = join_ranks(self.placement)
        self.shape = shape
        self.seat = find_seat(self.ranks.rank, self.placement)
        dtype, fp8 = _DTYPES[optim.precision], optim.fp8_storage
        self.model = build_model(shape, self.placement, seed, dtype, fp8_storage=fp8).train()
        if torch.cuda.is_available():
            self.model.cuda()
        self.device = next(self.model.parameters()).device
        if self.placement.offload:
            offload_layers(self.model)
        if checkpoint is not None:
            self.import_checkpoint(checkpoint)
        self.optimizer = self._build_optimizer(optim)
        self.folds = can_fold(self.placement, self.model)

    @property
    def num_steps(self) -> int:
        """Optimizer steps taken."""
        return self.optimizer.num_steps

    def step(
        self,
        batch: Batch,
        lr: float,
        objective: Objective | None = None,
        max_loss: float | None = None,
    ) -> StepStats:
        """Forward, backward, update; the loss is the global batch's.

        Args:
            batch: this rank's rows of the global batch; may be empty. Ranks that share a model
                replica (all but data-parallel ones) are given equal rows.
            lr: as in `Steps.step`.
            objective: as in `Steps.step`.
            max_loss: as in `Steps.step`.

        Raises:
            NonFiniteError: as in `Steps.step`.
        """
        loss, tokens, found = self.accumulate(batch, objective or language_model_loss)
        grad_norm = self.optimizer.reduce_gradients()
        finite = math.isfinite(loss) and math.isfinite(grad_norm)
        if not finite and max_loss is None:
            raise NonFiniteError(f"loss {loss}, gradient norm {grad_norm}")
        clips = plan_clips(self.model, self.shape, self.optimizer.rule.head_clip)
        stats = StepStats(loss, grad_norm, clips.max_logits, clips.events, tokens, found)
        if not finite or (max_loss is not None and loss > max_loss):
            self._balance_experts(taken=False)
            return stats._replace(clips=[], taken=False)
        self.optimizer.step(lr, clips.row_scales)
        self._balance_experts(taken=True)
        return stats._replace(groups=self.optimizer.norms.read())

    def accumulate(self, batch: Batch, objective: Objective = language_model_loss) -> Accumulated:
        """Forward and backward of a global batch into gradient buffers; no update.

        Args:
            batch: as in `step`.
            objective: what to minimise.
        """
        used = float((batch.segments != PADDING).sum())
        sums = [float(batch.loss_mask.sum()), float(len(batch.tokens)), used]
        mask_sum, rows, tokens = self._sum_over_ranks(sums if self._is_first else [0.0] * 3)
        batch = batch._replace(totals=Totals(mask_sum, int(rows)))
        self.model.config.num_sequences = rows
        self.optimizer.zero_gradients()
        shares = self._run(self._cut(batch), partial(self._share, objective), train=True)
        loss, metrics = 0.0, dict[str, float]()
        for share in shares:
            for name, value in share.items():
                metrics[name] = metrics.get(name, 0.0) + value
        loss = metrics.pop(_LOSS, 0.0)
        names = self._metric_names(metrics)
        loss, *values = self._sum_over_ranks([loss, *(metrics.get(n, 0.0) for n in names)])
        return Accumulated(loss, int(tokens), dict(zip(names, values, strict=True)))

    @torch.no_grad()
    def logprobs(self, batch: Batch) -> Tensor:
        """Log p of each label [B, S], on the CPU; 0 at padding, and on all but the last stage.

        Of rows that are folded, where `loss_mask` is not 0.
        """
        out = torch.zeros(batch.labels.shape)
        start = 0
        for found in self._run(self._cut(batch), _take_losses, train=False):
            rows, width = found.shape
            out[start : start + rows, :width] = -found.cpu()
            start += rows
        return out.masked_fill_(batch.segments.cpu() == PADDING, 0.0)

    @torch.no_grad()
    def logits(self, tokens: Tensor) -> Tensor:
        """Next-token logits [B, S, V] of whole rows [B, S], on the CPU in fp32; on the last stage.

        All ranks of a model replica take part, with equal tokens; with experts spread, all ranks.
        """
        zeros = torch.zeros_like(tokens)
        batch = Batch(tokens, tokens, zeros.float(), zeros)
        found = self._run(self._cut(batch), _take_logits, train=False, labels=False)
        return torch.cat(found).float().cpu() if found else torch.empty(0)

    @cached_property
    def weights(self) -> SpreadWeights:
        """All weights, where they are; all ranks ask for them together."""
        return SpreadWeights(self.model, self.shape, self.ranks)

    def send_weights(self, send: Callable[[Weights], T], peer: Peer) -> T:
        """As `Learner.send_weights`, on the rank that leads."""
        return send(self.weights)

    def export_weights(self) -> dict[str, Tensor]:
        """On the CPU in fp32, each a copy with storage of its own; for small models."""
        named = self.weights.everywhere()
        return {name: tensor.to("cpu", torch.float32, copy=True) for name, tensor in named}

    def import_checkpoint(self, folder: Path) -> int:
        """Start from the weights of another model; returns the bytes that this rank read.

        Before the optimizer is built: it keeps masters of its own.
        """
        return import_checkpoint(self.model, self.shape, folder)

    def export_checkpoint(self, folder: Path) -> int:
        """Write the weights in the Hugging Face layout, each rank its own; all ranks take part.

        Returns:
            The bytes that this rank wrote.
        """
        return export_checkpoint(self.weights, folder)

    def local_weights(self) -> dict[str, Tensor]:
        """This rank's parameters by global Megatron names: copies on the CPU."""
        return {n: p.detach().cpu().clone() for n, p in self.optimizer.parameters.items()}

    def snapshot(self) -> resume.RankSnapshot:
        """Copy this rank's part of what an exact continuation needs; all ranks take part."""
        return resume.take_snapshot(self.model, self.optimizer, self.placement, self.ranks)

    def save(self, writing: Writing) -> None:
        """Write a state, each rank its part; whole when this returns."""
        self.snapshot().write(writing)
        self.ranks.wait()

    def load(self, fetch: Fetch) -> None:
        """Continue from a state, bit for bit if the layout is the same; all ranks take part."""
        resume.load_rank(fetch, self.model, self.optimizer, self.placement, self.ranks.rank)

    def _build_optimizer(self, optim: OptimConfig) -> ShardedOptimizer:
        groups = OptimizerGroups(
            data=parallel_state.get_data_parallel_group(with_context_parallel=True),
            expert_data=parallel_state.get_expert_data_parallel_group(),
            tensor=parallel_state.get_tensor_model_parallel_group(),
        )
        named = {n: s.tensor for n, s in list_shards(self.model).items()}
        parameters = {n: t for n, t in named.items() if isinstance(t, torch.nn.Parameter)}
        flat = self.placement.zero == "flat"
        return ShardedOptimizer(parameters, load_rule(optim), self.shape, groups, flat=flat)

    def _cut(self, batch: Batch) -> list[MicroBatch]:
        in_step = self.placement.pp > 1 or self.placement.ep > 1
        largest = self._largest_over_ranks if in_step else None
        parts = cut_passes(batch, self.placement, folds=self.folds, largest=largest)
        return [part.to(self.device) for part in parts]

    def _run(
        self,
        parts: list[MicroBatch],
        use: Callable[..., Any],
        *,
        train: bool,
        labels: bool = True,
    ) -> list[Any]:
        """Megatron's schedule over micro-batches (1F1B if there are stages).

        Returns:
            What `use` makes of each micro-batch's output; nothing but on the last stage.
        """
        if not parts:
            return []

        def forward(iterator: Iterator[MicroBatch], model: Any) -> tuple[Tensor, Any]:
            part = next(iterator)
            self.model.temperature, self.model.masks = row_temperatures(part), masks_of(part)
            self.model.config.folding = part.folding
            counted = train or part.folding is not None
            output = self._forward(part.padded, counted=counted, labels=labels)
            return output, partial(use, part.real)

        self.model.train(train)
        rows, width = parts[0].shape
        found: list[Any] = get_forward_backward_func()(
            forward_step_func=forward,
            data_iterator=iter(parts),
            model=[self.model],
            num_microbatches=len(parts),
            seq_length=width,
            micro_batch_size=rows,
            forward_only=not train,
            collect_non_loss_data=not train,
        )
        self.model.config.folding = None
        self.model.train()
        return found

    def _forward(self, batch: Batch, *, counted: bool, labels: bool) -> Tensor:
        """Losses of the labels [B, S], or logits; on an earlier stage, what it hands on.

        With `counted`, losses only where `loss_mask` is not 0; elsewhere 0. What runs is the
        configured folding, where there is one.
        """
        if folding := self.model.config.folding:
            losses: Tensor = self.model(
                folding.tokens,
                folding.positions[None],
                folding.branch[None],
                labels=batch.labels if labels else None,
                loss_mask=batch.loss_mask if counted else None,
                padding_mask=folding.padding if bool(folding.padding.any()) else None,
            )
            return losses
        own = batch.map(partial(take_own, axis=1))
        positions = torch.arange(own.tokens.size(1), device=self.device)
        padded, padding = bool((batch.segments == PADDING).any()), own.segments == PADDING
        if (
            self.seat.stage > 0
        ):  # upstream splits the mask over the sequence on the first stage only
            padding = padding.chunk(self.placement.tp, 1)[self.seat.tensor]
        output: Tensor = self.model(
            own.tokens,
            positions.expand_as(own.tokens),
            batch.segments,
            labels=own.labels if labels else None,
            loss_mask=own.loss_mask if counted else None,
            padding_mask=padding if padded else None,
        )
        return output

    def _share(
        self, objective: Objective, real: Batch, losses: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        """The objective of a micro-batch as Megatron's schedule takes it."""
        rows, width = real.tokens.shape
        if rows == 0:
            return losses.sum() * 0.0, torch.tensor(0, dtype=torch.int), {}
        logprobs = -gather_rows(losses, 1)[:rows, :width].float()
        value = objective(logprobs, real)
        if self.seat.tensor or self.seat.context:  # all have the loss: one counts it
            return value.loss, torch.tensor(0, dtype=torch.int), {}
        said = {_LOSS: float(value.loss.detach())}
        said |= {name: float(figure) for name, figure in value.metrics.items()}
        return value.loss, torch.tensor(0, dtype=torch.int), said

    def _balance_experts(self, *, taken: bool) -> None:
        """b_i += u * sign(mean load - load_i), over the global batch (arXiv:2412.19437, 2.1.2).

        A refused step's loads are forgotten.
        """
        if self.shape.num_dense_layers == self.shape.num_layers:
            return
        if taken:
            _update_router_expert_bias([self.model], self.model.config)
        reset_model_temporary_tensors(self.model.config, [self.model])

    @property
    def _is_first(self) -> bool:
        """One rank of each model replica speaks for its rows."""
        return self.seat._replace(data=0) == (0, 0, 0, 0)

    def _sum_over_ranks(self, values: list[float]) -> list[float]:
        if dist.get_world_size() == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(v) for v in total.tolist()]

    def _largest_over_ranks(self, values: "Any") -> list[int]:
        largest = torch.tensor(values, device=self.device)
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        return [int(v) for v in largest.tolist()]

    @staticmethod
    def _metric_names(metrics: dict[str, float]) -> list[str]:
        """All ranks' metric names in one order: a rank without rows has none of its own."""
        if dist.get_world_size() == 1:
            return sorted(metrics)
        gathered: list[list[str]] = [[] for _ in range(dist.get_world_size())]
        dist.all_gather_object(gathered, sorted(metrics))
        return sorted({name for names in gathered for name in names})


_LOSS = "loss of the objective"
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def _take_losses(real: Batch, losses: Tensor, **_kwargs: bool) -> Tensor:
    rows, width = real.tokens.shape
    return gather_rows(losses, 1)[:rows, :width].float()


def _take_logits(real: Batch, logits: Tensor, **_kwargs: bool) -> Tensor:
    group = parallel_state.get_tensor_model_parallel_group()
    if dist.get_world_size(group) > 1:
        parts = [torch.empty_like(logits) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, logits.contiguous(), group=group)
        logits = torch.cat(parts, -1)
    rows, width = real.tokens.shape
    return gather_rows(logits, 1)[:rows, :width]
