"""A wire that breaks off names the rank and the tensor, at once and on all sides."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from k2core.engines.wire import (
    MeetingPoint,
    WeightReceiver,
    WeightSender,
    WireBucket,
    WireError,
    open_meeting,
    plan_buckets,
)
from k2core.engines.wire.meeting import Meeting
from k2core.model.digest import NamedTensor, Receipt
from tests.k2core.held import HeldWeights

WEIGHTS = {f"layers.{n}.w": torch.full((100, 10), float(n)) for n in range(12)}
SHAPES: Mapping[str, tuple[int, ...]] = {n: tuple(t.shape) for n, t in WEIGHTS.items()}
OWNERS = {name: place % 2 for place, name in enumerate(WEIGHTS)}
PLAN = plan_buckets(SHAPES, OWNERS, torch.bfloat16, 4000)
"""A bucket a tensor."""
FATAL = "layers.7.w"


class Shared(HeldWeights):
    """One rank's, which may die of a tensor."""

    def __init__(self, rank: int, dies_of: str = "") -> None:
        super().__init__(WEIGHTS)
        self._rank, self._dies_of = rank, dies_of

    def own(self) -> Iterator[NamedTensor]:
        for name, tensor in WEIGHTS.items():
            if name == self._dies_of:
                os._exit(3)
            if OWNERS[name] == self._rank:
                yield name, tensor


def meet(patience_s: float = 30) -> Meeting:
    return open_meeting("127.0.0.1", (0, 1), 2, gpu=False, patience_s=patience_s)


def send(point: MeetingPoint, rank: int, dies_of: str = "") -> Receipt:
    return WeightSender(point, PLAN, rank).send(Shared(rank, dies_of))


def receive(point: MeetingPoint, worker: int, plan: list[WireBucket]) -> dict[str, Tensor]:
    receiver = WeightReceiver(point, plan, worker, torch.device("cpu"))
    return {name: view for b, data in receiver.receive() for name, view in b.views(data)}


def start(pool: ThreadPoolExecutor, point: MeetingPoint) -> list[Future[dict[str, Tensor]]]:
    return [pool.submit(receive, point, worker, PLAN) for worker in range(2)]


def test_an_owner_that_dies_is_named_with_its_tensor() -> None:
    context = multiprocessing.get_context("forkserver")
    meeting = meet()
    victim = context.Process(target=send, args=(meeting.point, 1, FATAL), daemon=True)
    victim.start()
    with ThreadPoolExecutor(3) as pool:
        other, workers = pool.submit(send, meeting.point, 0), start(pool, meeting.point)
        for worker in workers:
            with pytest.raises(WireError, match=r"layers\.[57]\.w of the trainer's rank 1"):
                worker.result(60)
        with pytest.raises(WireError, match="of the trainer's rank 0 was not taken"):
            other.result(60)
    victim.join()
    assert victim.exitcode == 3


def test_a_rank_that_gives_something_else_says_so_and_holds_nobody_up() -> None:
    meeting = meet()
    with ThreadPoolExecutor(4) as pool:
        workers = start(pool, meeting.point)
        good = pool.submit(send, meeting.point, 0)
        lacking = HeldWeights(WEIGHTS, lost=FATAL)
        bad = pool.submit(lambda: WeightSender(meeting.point, PLAN, 1).send(lacking))
        with pytest.raises(ValueError, match=r"gives layers\.0\.w where layers\.1\.w was planned"):
            bad.result(60)
        for worker in workers:
            with pytest.raises(WireError, match=r"layers\.1\.w of the trainer's rank 1"):
                worker.result(60)
        assert isinstance(good.exception(60), WireError)


def absent(point: MeetingPoint) -> Callable[[], object]:
    return lambda: WeightReceiver(point, PLAN, 0, torch.device("cpu"))


def test_who_waits_in_vain_says_for_whom() -> None:
    alone = meet(patience_s=0.5)
    with pytest.raises(WireError, match="worker 0 of the engines met no other"):
        absent(alone.point)()
    with pytest.raises(WireError, match="rank 1 of the trainer met no engine"):
        WeightSender(alone.point, PLAN, 1)
