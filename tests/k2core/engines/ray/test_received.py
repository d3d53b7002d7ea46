"""Engines have new weights when all have given the trainer's receipt, and none before."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from k2core.engines.learner import Weights
from k2core.engines.ray.resources import Grant
from k2core.engines.ray.serve import ServedEngines
from k2core.engines.wire import WireError
from k2core.model.digest import Receipt, tensors_digest
from schemas.placement import Serving
from tests.k2core.held import HeldWeights

NEW = {"a": torch.ones(3), "b": torch.zeros(2, 2)}
DIGEST = tensors_digest(NEW)


class Receiving(ServedEngines):
    """Without engines: what a round brings is as it is told."""

    def __init__(self, received: Callable[[], list[str]]) -> None:
        self._weights, self._told = "sha256:old", received
        self._serving, self._granted = Serving(), Grant(gpu=True, one_node=True)
        self._shapes = dict(HeldWeights(NEW).shapes)
        self._asleep, self._courier, self._restore = False, None, None

    def _heal(self) -> None:
        pass

    def _send(self, weights: Weights) -> Receipt:
        self._received = self._told()
        return receipt_of(dict(weights.own()))

    def ask_all(self, method: str, *arguments: object) -> list[list[Receipt]]:
        assert method == "noted"
        return [[receipt_of(NEW)], [receipt_of(NEW | {"b": torch.ones(2, 2)})]]


def receipt_of(tensors: Mapping[str, Tensor]) -> Receipt:
    receipt = Receipt()
    for _ in receipt.note(tensors.items()):
        pass
    return receipt


def break_off() -> list[str]:
    raise WireError("layers.7.w of the trainer's rank 1 did not come")


@pytest.mark.parametrize(
    ("received", "said"),
    [
        (break_off, "rank 1 did not come"),
        (lambda: [DIGEST, "sha256:other"], "worker 0 of engine 1 was given another b"),
    ],
)
def test_a_round_that_is_not_whole_leaves_no_weights_to_name(
    received: Callable[[], list[str]], said: str
) -> None:
    engines = Receiving(received)
    assert engines.weights == "sha256:old"
    with pytest.raises(RuntimeError, match=said):
        engines.receive_weights(HeldWeights(NEW))
    with pytest.raises(RuntimeError, match="a part of the trainer's last weights"):
        assert engines.weights


def test_equal_receipts_are_the_new_weights() -> None:
    engines = Receiving(lambda: [DIGEST, DIGEST])
    assert engines.receive_weights(HeldWeights(NEW)) == DIGEST
    assert engines.weights == DIGEST
