"""Weights as a trainer's ranks give them, where one process has them all."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from k2core.engines.learner import T, Weights
from k2core.model.digest import NamedTensor
from k2core.model.tensors import TensorShape


class Alone:
    """The only rank."""

    rank = 0

    def share(self, value: T) -> T:
        return value

    def collect(self, value: T) -> list[T]:
        return [value]


def nobody_else(weights: Weights) -> None:
    """What no other rank does."""


class HeldWeights:
    """A `k2core.engines.learner.Weights`.

    Args:
        tensors: all of them.
        lost: one that is announced and never given.
    """

    def __init__(self, tensors: Mapping[str, Tensor], lost: str = "") -> None:
        self._tensors, self._lost = tensors, lost
        self.ranks = Alone()

    @property
    def shapes(self) -> Mapping[str, TensorShape]:
        return {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    @property
    def owners(self) -> Mapping[str, int]:
        return dict.fromkeys(self._tensors, 0)

    def own(self) -> Iterator[NamedTensor]:
        return (pair for pair in self._tensors.items() if pair[0] != self._lost)

    def everywhere(self) -> Iterator[NamedTensor]:
        return self.own()
