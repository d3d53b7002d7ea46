"""Routed experts as one grouped matrix product, and the router's sequence-wise balance."""

from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.moe.moe_utils import MoEAuxLossAutoScaler
from megatron.core.transformer.moe.router import TopKRouter
from torch import Tensor

from k2core.engines.megatron.lean import run_experts
from k2core.engines.megatron.swiglu import gated_swiglu

if TYPE_CHECKING:
    from megatron.core.process_groups_config import ProcessGroupCollection
    from megatron.core.transformer.transformer_config import TransformerConfig


class GroupedExperts(MegatronModule):
    """Experts of one layer, stacked: a third faster on CPU than Megatron's loop over modules.

    `weight1` [E, 2f, h] holds each expert's gate over up, `weight2` [E, h, f] its down-projection.
    Stacks also hand Muon's Newton-Schulz one batch an equal shape.
    """

    def __init__(
        self,
        num_local_experts: int,
        config: "TransformerConfig",
        *_args: object,
        pg_collection: "ProcessGroupCollection",
        **_kwargs: object,
    ) -> None:
        super().__init__(config=config)
        if pg_collection.expt_tp.size() > 1:
            raise NotImplementedError("GroupedExperts holds whole experts: expert TP must be 1")
        hidden, inner = config.hidden_size, config.moe_ffn_hidden_size
        kind = {"dtype": config.params_dtype, "device": None}
        if not config.use_cpu_initialization:
            kind["device"] = torch.cuda.current_device()
        weight1 = torch.empty(num_local_experts, 2 * inner, hidden, **kind)
        weight2 = torch.empty(num_local_experts, hidden, inner, **kind)
        self.weight1, self.weight2 = torch.nn.Parameter(weight1), torch.nn.Parameter(weight2)

    def forward(
        self, hidden: Tensor, tokens_per_expert: Tensor, gates: Tensor
    ) -> tuple[Tensor, None]:
        """SwiGLU of tokens [t, h], sorted by expert, times each token's gate [t]."""
        ends = tokens_per_expert.cumsum(0).to(hidden.device, torch.int32)
        if self.config.lean:
            weights = self.weight1, self.weight2
            return run_experts(hidden, *weights, gates, ends, fp8=self.config.fp8_storage), None
        both = torch._grouped_mm(hidden, self.weight1.mT, offs=ends)
        inner = gated_swiglu(both, gates.unsqueeze(-1).to(both.dtype))  # the router is in fp32
        return torch._grouped_mm(inner, self.weight2.mT, offs=ends), None


class BalancedRouter(TopKRouter):
    """Megatron's router with a balance loss that is a plain sum over sequences.

    Upstream averages over the micro-batch and, with padding, uses the micro-batch's mean length:
    the loss would depend on how rows are dealt to micro-batches and ranks. Its expert counts
    broadcast the padding mask along the wrong axis.
    """

    def _apply_expert_bias(self, routing_map: Tensor, padding_mask: Tensor | None = None) -> None:
        if folding := self.config.folding:  # a token counts in each row that has it
            if self.enable_expert_bias and torch.is_grad_enabled():
                self.local_tokens_per_expert += folding.sum_rows(routing_map.float()).sum(0)
            return
        column = None if padding_mask is None else padding_mask.unsqueeze(-1)
        super()._apply_expert_bias(routing_map, column)

    def _apply_seq_aux_loss(
        self,
        probs: Tensor,
        scores_for_aux_loss: Tensor,
        routing_map: Tensor,
        seq_length: int,
        bsz: int,
        with_padding_mask: bool = False,
    ) -> Tensor:
        """L = alpha * sum_i f_i P_i a sequence (arXiv:2412.19437, equations 17 to 20).

        This rank's share of the mean over the global batch's sequences, whose number the trainer
        leaves in `config.num_sequences`; what folded rows share counts in each of them. Under
        tensor parallelism a rank sees a part of each sequence: f and the length are sums over
        ranks, P this part's.
        """
        num_experts, folding = self.config.num_moe_experts, self.config.folding
        if folding:
            counts, mass = map(folding.sum_rows, (routing_map.float(), scores_for_aux_loss))
        else:
            chosen = routing_map.view(seq_length, bsz, num_experts).float()  # s b e
            counts = chosen.sum(0)  # b e
            mass = scores_for_aux_loss.view(seq_length, bsz, num_experts).sum(0)
        if self.tp_cp_group.size() > 1:
            dist.all_reduce(counts, group=self.tp_cp_group)
        num_tokens = (counts.sum(1, keepdim=True) / self.topk).clamp_min(1)  # b 1
        f = counts * num_experts / (self.topk * num_tokens)  # b e
        p = mass / num_tokens
        coefficient = self.get_aux_loss_coeff("seq_aux_loss")
        loss = coefficient * (f * p).sum() / self.config.num_sequences
        scaled: Tensor = MoEAuxLossAutoScaler.apply(probs, loss)
        return scaled
