"""GPTModel with logits only where a label counts, at the temperature that rows were sampled at."""

from megatron.core.models.gpt.gpt_model import GPTModel
from torch import Tensor


class SparseLossModel(GPTModel):
    """Skips the output layer and its softmax where `loss_mask` is 0.

    Finetuning and RL learn from the assistant's tokens, here one of six; the output layer is a
    quarter of so small a model's arithmetic. Values and gradients are those of GPTModel.
    """

    temperature: Tensor | None = None
    """[b], of the rows about to be run: losses are of softmax(logits / temperature); None is 1."""

    def _postprocess(
        self,
        *,
        hidden_states: Tensor,
        labels: Tensor | None,
        loss_mask: Tensor | None,
        **rest: object,
    ) -> Tensor:
        if labels is not None and loss_mask is not None and not self.config.sequence_parallel:
            counts = loss_mask != 0  # b s
            if self.post_process and 0 < int(counts.sum()) < counts.numel():
                return self._losses_where(counts, hidden_states, labels)
        found: Tensor = super()._postprocess(
            hidden_states=hidden_states, labels=labels, loss_mask=loss_mask, **rest
        )
        return found

    def compute_language_model_loss(self, labels: Tensor, logits: Tensor) -> Tensor:
        """Losses [b, s] of labels [b, s] under logits [s, b, v] at the rows' temperatures."""
        if self.temperature is not None:
            logits = logits.float() / self.temperature[None, :, None]
        found: Tensor = super().compute_language_model_loss(labels, logits)
        return found

    def _losses_where(self, counts: Tensor, hidden_states: Tensor, labels: Tensor) -> Tensor:
        """Losses [b, s] of labels [b, s] from hidden states [s, b, h]; 0 where none counts."""
        chosen = hidden_states.transpose(0, 1)[counts]  # n h
        logits, _ = self.output_layer(chosen.unsqueeze(1))  # n 1 v
        if self.temperature is not None:
            temperature_n = self.temperature[:, None].expand_as(counts)[counts]
            logits = logits.float() / temperature_n[:, None, None]
        found: Tensor = super().compute_language_model_loss(labels[counts][None], logits)  # 1 n
        return found.new_zeros(labels.shape).masked_scatter(counts, found)
