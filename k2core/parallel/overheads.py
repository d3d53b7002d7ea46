"""What training does besides steps: reading rows, keeping states, starting."""

from typing import NamedTuple

from k2core.model.counts import sum_parameters
from k2core.parallel.hardware import DEVICES
from k2core.parallel.plan import Plan, TrainingJob

TOKEN_BYTES = 4
"""On disk, for vocabularies above 65,536."""
_ON_THE_WAY = 7 * TOKEN_BYTES
"""A token as tokens, labels, mask and segments."""
STORE_RATE = 1e9
"""Bytes/s that a node reads from and writes to the store; assumed."""
DIGEST_RATE = 1.3e9
"""Bytes/s that one thread hashes (SHA-256)."""
IMPORT_S = 60.0
"""From a process's start to its first collective; assumed."""


class Overheads(NamedTuple):
    """Of one training; bytes and seconds of a rank or node."""

    feed_bytes: float
    """That a rank reads a step."""
    feed: float
    """Seconds of it, in a thread, behind the step before."""
    state_bytes: float
    """Of all ranks' states together."""
    copy: float
    """Seconds that a state holds all ranks up: its copy to the host."""
    write: float
    """Seconds until it is in the store, behind later steps."""
    start: float
    """Seconds from a launch to the first step: imports, the newest state read."""


def plan_overheads(plan: Plan, job: TrainingJob) -> Overheads:
    """Predict them; none grows with the number of ranks on any of them."""
    layout, device = plan.layout, DEVICES[plan.layout.gpu]
    rows = -(-job.batch_size // layout.dp)
    feed_bytes = rows * job.sequence_length * TOKEN_BYTES
    nodes = -(-layout.num_ranks // layout.ranks_per_node)
    # Weights in fp32 are their own masters, dealt as those are.
    own = sum_parameters(job.shape).total * 4.0 if job.precision == "fp32" else 0.0
    state = own + sum(m.optimizer for m in plan.stages) * layout.num_ranks / layout.pp
    fullest = own / layout.num_ranks + max(m.optimizer for m in plan.stages)
    return Overheads(
        feed_bytes=feed_bytes,
        feed=feed_bytes / TOKEN_BYTES * _ON_THE_WAY / 2e9 + feed_bytes / STORE_RATE,
        state_bytes=state,
        copy=fullest / device.host_link,
        write=max(state / nodes / STORE_RATE, state / layout.num_ranks / DIGEST_RATE),
        start=IMPORT_S + state / nodes / STORE_RATE,
    )
