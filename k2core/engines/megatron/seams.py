"""Autograd's context as our functions use it: torch types it for subclasses of its own alone."""

from typing import Protocol

from torch import Tensor


class Context(Protocol):
    """What a function's forward leaves for its backward."""

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        """Those that were saved."""

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Save them."""

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These results have no gradient."""
