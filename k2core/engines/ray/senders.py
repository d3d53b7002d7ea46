"""Weights from a trainer's ranks to engines in Ray actors: each rank sends its own, on the wire.

Rank 0 has everybody meet and says when a round begins; its own share goes as the others' do.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import ray

from k2core.engines.learner import Weights
from k2core.engines.ray.actors import fetch
from k2core.engines.torchrun.peers import PeerError
from k2core.engines.wire import (
    MeetingPoint,
    WeightSender,
    WireBucket,
    WireError,
    open_meeting,
    plan_buckets,
)
from k2core.model.digest import Receipt

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

_WINDOW_BYTES, _ON_CORES = 2**30, 2**28
"""Of weights that travel together, from all of the trainer's ranks. On CPU cores, which processes
take turns on, a small bucket costs more than the time in which the next is packed."""


class WireCourier:
    """Rank 0's part, for as many rounds as the same engines live.

    Args:
        engines: each with its workers.
        devices: workers of an engine.
        dtype: the engines' arithmetic.
        gpu: weights are on GPUs.
    """

    def __init__(
        self, engines: "Sequence[ActorHandle]", devices: int, dtype: str, *, gpu: bool
    ) -> None:
        self._engines, self._devices, self._dtype, self._gpu = engines, devices, dtype, gpu
        self._sender: WeightSender | None = None

    def send(self, weights: Weights) -> Receipt:
        """When the engines wait for weights; all of them are loaded when this returns.

        Raises:
            WireError: a tensor did not arrive; names it and the rank that owns it.
        """
        sender = self._sender or self._meet(weights)
        rounds = [{"keep": not (self._gpu or place)} for place in range(len(self._engines))]
        loading = self._ask_all("update_weights", rounds)
        weights.ranks.share(self._meeting.point)
        try:
            own = sender.send(weights)
        except WireError:
            _fetch_all(loading)  # an engine may know more
            raise
        _fetch_all(loading)
        return Receipt.join(weights.ranks.collect(own))

    def close(self) -> None:
        """Leave."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _meet(self, weights: Weights) -> WeightSender:
        owners = tuple(sorted(set(weights.owners.values())))
        workers = len(self._engines) * self._devices
        here = ray.util.get_node_ip_address()
        self._meeting = open_meeting(here, owners, workers, gpu=self._gpu)
        point = self._meeting.point
        plan = _plan(point, self._dtype, weights)
        firsts = range(0, workers, self._devices)
        infos = [{"point": point, "plan": plan, "first_worker": first} for first in firsts]
        meeting = self._ask_all("init_weight_transfer_engine", infos)
        weights.ranks.share(point)
        self._sender = WeightSender(point, plan, weights.ranks.rank)
        _fetch_all(meeting)
        return self._sender

    def _ask_all(self, method: str, arguments: Sequence[object]) -> "list[ObjectRef[None]]":
        pairs = zip(self._engines, arguments, strict=True)
        return [getattr(engine, method).remote(argument) for engine, argument in pairs]


_met: dict[MeetingPoint, WeightSender] = {}
"""Of this process, if it is another rank: the latest."""


def send_share(dtype: str, weights: Weights) -> None:
    """What the trainer's other ranks do while the first one sends.

    Args:
        dtype: the engines' arithmetic.
        weights: of which this rank owns some.

    Raises:
        PeerError: the engines are gone; whoever is to blame has an error of his own.
    """
    point = weights.ranks.share(cast("MeetingPoint", None))
    try:
        if point not in _met:
            while _met:
                _met.popitem()[1].close()
            _met[point] = WeightSender(point, _plan(point, dtype, weights), weights.ranks.rank)
            weights.ranks.share(point)  # the round begins
        own = _met[point].send(weights)
    except WireError as error:
        raise PeerError(str(error)) from error
    weights.ranks.collect(own)


def _plan(point: MeetingPoint, dtype: str, weights: Weights) -> list[WireBucket]:
    import torch

    window = _WINDOW_BYTES if point.gpu else _ON_CORES
    return plan_buckets(weights.shapes, weights.owners, getattr(torch, dtype), window)


def _fetch_all(answers: "Sequence[ObjectRef[None]]") -> None:
    for answer in answers:
        fetch(answer, WireError)
