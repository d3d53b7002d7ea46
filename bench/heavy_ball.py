"""An optimizer of one's own: gradient descent with momentum, as a researcher would bring it."""

from collections.abc import Mapping

from torch import Tensor

from k2core.optim.rule import UpdateRule


class HeavyBall(UpdateRule):
    """V <- mu V + G, D = V, for every parameter."""

    def state_names(self, *, matrix: bool) -> tuple[str, ...]:
        """The velocity."""
        return ("velocity",)

    def advance(
        self, grad: Tensor, states: Mapping[str, Tensor], step: int, *, matrix: bool
    ) -> Tensor:
        """The velocity is the direction."""
        return states["velocity"].mul_(self.config.options["mu"]).add_(grad)
