"""An engine's worker takes all buckets: one travels while the one before is loaded."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from k2core.engines.wire.meeting import MeetingPoint, blamed
from k2core.engines.wire.plan import WireBucket


class WeightReceiver:
    """A worker's end, for as many rounds as there are.

    Args:
        point: where trainer and workers meet; this returns when all have come.
        plan: all buckets.
        worker: this one, among those of all engines.
        device: where the tensors are to be.

    Raises:
        WireError: somebody did not come.
    """

    def __init__(
        self,
        point: MeetingPoint,
        plan: Sequence[WireBucket],
        worker: int,
        device: torch.device,
    ) -> None:
        self._plan, self._device = plan, device
        self._entries = {owner: point.entry(owner) for owner in point.owners}
        me = f"worker {worker} of the engines"
        with blamed(me, "met no other"):
            self._workers = point.join_workers(worker)
        self._lanes = {}
        for owner, entry in self._entries.items():
            if entry == worker:
                with blamed(me, f"did not meet rank {owner} of the trainer"):
                    self._lanes[owner] = point.join_lane(owner, 1)

    def receive(self) -> Iterator[tuple[WireBucket, Tensor]]:
        """One round: each bucket with its bytes, which are the caller's own.

        Raises:
            WireError: a bucket did not come; names the trainer's rank and the first tensor. The
                other workers are let know, and so are the ranks.
        """
        try:
            before: tuple[WireBucket, Tensor] | None = None
            for bucket in self._plan:
                data = self._begin(bucket)
                if before:
                    yield self._wait(*before)
                before = bucket, data
            if before:
                yield self._wait(*before)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave; whoever waits for this worker is let know."""
        for group in (self._workers, *self._lanes.values()):
            group.close()

    def _begin(self, bucket: WireBucket) -> Tensor:
        """From its owner, if that is this worker's to take; then on its way to all workers."""
        data = torch.empty(bucket.nbytes, dtype=torch.uint8, device=self._device)
        with blamed(bucket, "did not come"):
            if lane := self._lanes.get(bucket.owner):
                lane.broadcast(data, 0)
                lane.wait()
            self._workers.broadcast(data, self._entries[bucket.owner])
        return data

    def _wait(self, bucket: WireBucket, data: Tensor) -> tuple[WireBucket, Tensor]:
        with blamed(bucket, "did not come"):
            self._workers.wait()
        return bucket, data
