"""A trainer's rank sends what it owns: one bucket travels while the next is packed."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from k2core.engines.learner import Weights
from k2core.engines.wire.meeting import MeetingPoint, WireGroup, blamed
from k2core.engines.wire.plan import WireBucket
from k2core.model.digest import NamedTensor, Receipt


class WeightSender:
    """A rank's end of its lane, for as many rounds as there are.

    Args:
        point: where the engines' worker is met; this returns when it has come.
        plan: all buckets, of which this rank's are sent.
        rank: this one; one that owns nothing meets nobody.

    Raises:
        WireError: the worker did not come.
    """

    def __init__(self, point: MeetingPoint, plan: Sequence[WireBucket], rank: int) -> None:
        self._own = [bucket for bucket in plan if bucket.owner == rank]
        self._device = torch.device("cuda" if point.gpu else "cpu")
        self.sent_bytes = 0
        """In all rounds."""
        with blamed(f"rank {rank} of the trainer", "met no engine"):
            self._lane: WireGroup | None = point.join_lane(rank, 0) if self._own else None

    def send(self, weights: Weights) -> Receipt:
        """One round; all ranks take part, for some tensors are gathered.

        Returns:
            For the tensors as they were sent, fingerprinted where they are.

        Raises:
            ValueError: the rank gives another tensor than was planned.
            WireError: the engines are gone.
        """
        sent, named = Receipt(), weights.own()
        try:
            before: WireBucket | None = None
            for bucket in self._own:
                data = pack_bucket(bucket, named, sent, self._device)
                self._wait(before)
                self._begin(bucket, data)
                before = bucket
            _expect(_NOTHING, named)  # to the end: others' slices are gathered
            self._wait(before)
        except BaseException:
            self.close()  # the engines know at once
            raise
        return sent

    def close(self) -> None:
        """Leave."""
        if self._lane is not None:
            self._lane.close()

    def _begin(self, bucket: WireBucket, data: Tensor) -> None:
        assert self._lane is not None
        with blamed(bucket, "was not taken"):
            self._lane.broadcast(data, 0)
        self.sent_bytes += data.nbytes

    def _wait(self, bucket: WireBucket | None) -> None:
        if bucket is not None and self._lane is not None:
            with blamed(bucket, "was not taken"):
                self._lane.wait()


def pack_bucket(
    bucket: WireBucket, named: Iterator[NamedTensor], sent: Receipt, device: torch.device
) -> Tensor:
    """The bytes of a bucket, in the engines' arithmetic.

    Args:
        bucket: whose tensors come next.
        named: what a rank gives.
        sent: notes the tensors as they will arrive.
        device: where they are.

    Raises:
        ValueError: another tensor comes.
    """
    data = torch.empty(bucket.nbytes, dtype=torch.uint8, device=device)
    for name, room in bucket.views(data):
        room.copy_(_expect(name, named))
        for _ in sent.note([(name, room)]):
            pass
    return data


_NOTHING = "nothing"


def _expect(wanted: str, named: Iterator[NamedTensor]) -> Tensor:
    name, tensor = next(named, (_NOTHING, torch.empty(0)))
    if name != wanted:
        raise ValueError(f"a rank of the trainer gives {name} where {wanted} was planned")
    return tensor
