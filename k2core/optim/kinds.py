"""The optimizers that the house brings, as rules; their mathematics is beside them.

No torch at import: the plan asks a rule for figures alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from k2core.optim.partition import newton_schulz_cost
from k2core.optim.rule import Directions, HeadClip, UpdateRule

if TYPE_CHECKING:
    from torch import Tensor


class AdamW(UpdateRule):
    """AdamW for every parameter (arXiv:1711.05101, algorithm 2), as torch.optim.AdamW."""

    def state_names(self, *, matrix: bool) -> tuple[str, ...]:
        """Both moments."""
        return "first", "second"

    def advance(
        self, grad: "Tensor", states: Mapping[str, "Tensor"], step: int, *, matrix: bool
    ) -> "Tensor":
        """Adam's direction."""
        from k2core.optim.muon import adamw_direction

        return adamw_direction(grad, states["first"], states["second"], step, self.config)


class Muon(AdamW):
    """Muon for hidden matrices, AdamW for norms, embedding and output layer (arXiv:2502.16982)."""

    whole_matrices: ClassVar[bool] = True

    def state_names(self, *, matrix: bool) -> tuple[str, ...]:
        """Of a matrix its momentum alone."""
        return ("first",) if matrix else super().state_names(matrix=matrix)

    def advance(
        self, grad: "Tensor", states: Mapping[str, "Tensor"], step: int, *, matrix: bool
    ) -> "Tensor":
        """Momentum of a matrix, Adam's direction of the rest."""
        from k2core.optim.muon import advance_momentum

        if matrix:
            return advance_momentum(grad, states["first"], self.config)
        return super().advance(grad, states, step, matrix=matrix)

    def directions(self, matrices: "Sequence[Tensor]") -> Iterator[Directions]:
        """0.2 sqrt(max(n, m)) NewtonSchulz(M) (arXiv:2507.20534, algorithm 1)."""
        import torch

        from k2core.optim.muon import update_scale
        from k2core.optim.newton_schulz import orthogonalize_each

        dtype = torch.bfloat16 if self.config.newton_schulz_precision == "bf16" else None
        for places, stack in orthogonalize_each(matrices, self.config.newton_schulz_steps, dtype):
            scale = update_scale(stack.size(-2), stack.size(-1), self.config)
            yield Directions(places, stack, scale)

    def multiplications(self, rows: int, columns: int) -> int:
        """Of all iterations of Newton-Schulz."""
        return self.config.newton_schulz_steps * newton_schulz_cost(rows, columns)


class MuonClip(Muon):
    """Muon with QK-Clip (arXiv:2507.20534, section 2.1): K2's."""

    @property
    def head_clip(self) -> HeadClip | None:
        """Heads whose largest logit exceeds tau."""
        return HeadClip(self.config.qk_clip_tau, self.config.qk_clip_per_head)
