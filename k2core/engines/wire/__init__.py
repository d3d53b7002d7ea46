"""Weights from a trainer's ranks to engines, bucket by bucket: by NCCL on GPUs, gloo on CPU cores.

Each rank that owns tensors has a lane, a group of two, to one of the engines' workers; that one
passes what comes to the other workers, in a group of them alone. So a rank sends its own tensors
once and sees nobody else's, and nothing grows with the number of ranks on any single process.
"""

from k2core.engines.wire.meeting import MeetingPoint, WireError, open_meeting
from k2core.engines.wire.plan import WireBucket, plan_buckets
from k2core.engines.wire.receiver import WeightReceiver
from k2core.engines.wire.sender import WeightSender, pack_bucket

__all__ = [
    "MeetingPoint",
    "WeightReceiver",
    "WeightSender",
    "WireBucket",
    "WireError",
    "open_meeting",
    "pack_bucket",
    "plan_buckets",
]
