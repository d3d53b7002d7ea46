"""GPTModel with logits only where a label counts, of what rows were sampled from.

That is softmax(logits / temperature) over the tokens that a grammar left, in an engine's order.
"""

import torch
from megatron.core.models.gpt.gpt_model import GPTModel
from torch import Tensor

from k2core.engines.megatron.masks import TokenMasks


class SparseLossModel(GPTModel):
    """Skips the output layer and its softmax where `loss_mask` is 0.

    Finetuning and RL learn from the assistant's tokens, here one of six; the output layer is a
    quarter of so small a model's arithmetic. Values and gradients are those of GPTModel.
    """

    temperature: Tensor | None = None
    """[b], of the rows about to be run: losses are of softmax(logits / temperature); None is 1."""
    masks: TokenMasks | None = None
    """Of those rows; None leaves the whole vocabulary."""

    def _postprocess(
        self,
        *,
        hidden_states: Tensor,
        labels: Tensor | None,
        loss_mask: Tensor | None,
        **rest: object,
    ) -> Tensor:
        if self.config.folding and labels is not None and self.post_process:
            counts = torch.ones_like(labels) > 0 if loss_mask is None else loss_mask != 0
            places = self.config.folding.places
            return self._losses_where(
                counts, hidden_states[:, 0].index_select(0, places[counts]), labels
            )
        if labels is not None and loss_mask is not None and not self.config.sequence_parallel:
            counts = loss_mask != 0  # b s
            if self.post_process and 0 < int(counts.sum()) < counts.numel():
                chosen = hidden_states.transpose(0, 1)[counts]
                return self._losses_where(counts, chosen, labels)
        found: Tensor = super()._postprocess(
            hidden_states=hidden_states, labels=labels, loss_mask=loss_mask, **rest
        )
        return found

    def compute_language_model_loss(self, labels: Tensor, logits: Tensor) -> Tensor:
        """Losses [b, s] of labels [b, s] under logits [s, b, v] as the rows were sampled."""
        if self.masks is not None:
            logits = self.masks.hold(logits, self.masks.places.T)
        if self.temperature is not None:
            logits = logits.float() / self.temperature[None, :, None]
        found: Tensor = super().compute_language_model_loss(labels, logits)
        return found

    def _losses_where(self, counts: Tensor, chosen: Tensor, labels: Tensor) -> Tensor:
        """Losses [b, s] of labels [b, s], from hidden states [n, h] of those that count; else 0."""
        if not len(chosen):
            return chosen.sum() + chosen.new_zeros(labels.shape)
        logits, _ = self.output_layer(chosen.unsqueeze(1))  # n 1 v
        if self.masks is not None:
            logits = self.masks.hold(logits, self.masks.places[counts][:, None])
        if self.temperature is not None:
            temperature_n = self.temperature[:, None].expand_as(counts)[counts]
            logits = logits.float() / temperature_n[:, None, None]
        found: Tensor = super().compute_language_model_loss(labels[counts][None], logits)  # 1 n
        return found.new_zeros(labels.shape).masked_scatter(counts, found)
