"""Weights from a trainer's ranks to engines through Ray's object store: each rank sends its own.

A bucket is in the store of the sender's node once, however many engines read it; while they load
it, the next is packed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray

from k2core.engines.buckets import pack
from k2core.engines.learner import Peer, Weights, hand_over
from k2core.model.digest import NamedTensor, Receipt, as_served

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle


@dataclass(frozen=True)
class StoreCourier:
    """How weights go.

    Attributes:
        dtype: the engines' arithmetic.
        all_send: the ranks are Ray's actors, and each sends its share; else rank 0 alone is known
            to the cluster, and the others hand theirs over to it.
    """

    dtype: str
    all_send: bool

    @property
    def peer(self) -> Peer:
        """What ranks other than 0 do; picklable."""
        return self._join if self.all_send else hand_over

    def send(self, weights: Weights, engines: "Sequence[ActorHandle]") -> Receipt:
        """On rank 0, when the engines wait for weights; all of them are there in the end."""
        if not self.all_send:
            return self._put(weights.at_first(), engines)
        weights.ranks.share(engines)
        own = self._put(weights.own(), engines)
        return Receipt.join(weights.ranks.collect(own))

    def _join(self, weights: Weights) -> None:
        engines: Sequence[ActorHandle] = weights.ranks.share([])
        weights.ranks.collect(self._put(weights.own(), engines))

    def _put(self, named: Iterable[NamedTensor], engines: "Sequence[ActorHandle]") -> Receipt:
        import torch

        sent, loading = Receipt(), list["ObjectRef[None]"]()
        for bucket in pack(sent.note(as_served(named, getattr(torch, self.dtype)))):
            told = ray.put(bucket)
            ray.get(loading)
            loading = [engine.take_bucket.remote([told]) for engine in engines]
        ray.get(loading)
        return sent
