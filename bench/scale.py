"""What passes through the driver and through a rank as models and ranks grow, and where that leads.

Each row is a group of ranks of its own, started as `pretrain` starts them: a step with rows read
from a token corpus, the state copied and written, the checkpoint written, weights sent on with
fingerprints. Growth of bytes is fitted as c x parameters^a x ranks^b and carried on, beside
`k2 plan`; seconds are not: more ranks than cores take turns. A checkpoint below
5 GB is one file, hence one rank's; of larger ones files are dealt out.

    python -m bench.scale

The text stages have theirs in `bench.scale_text`, which is run along.
"""

import math
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import scale_text
from bench.feed import Corpus, write_corpus
from k2core.model.counts import sum_parameters
from k2core.reporting import Silent
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement

T = TypeVar("T")
_LENGTH, _ROWS_A_RANK, _STEPS = 64, 2, 3
_RANKS = (1, 2, 4)
_WINDOW_BYTES = 16 * 2**20
"""Of weights on their way: small beside these models, as windows are beside large ones."""
_CLUSTERS = (64, 512, 4096)


def _grown(hidden: int, layers: int, experts: int) -> ModelShape:
    return ModelShape(
        hidden_size=hidden,
        num_layers=layers,
        num_experts=experts,
        q_lora_rank=hidden // 2,
        ffn_hidden_size=hidden * 8 // 3 // 8 * 8,
        moe_ffn_hidden_size=hidden * 2 // 3 // 8 * 8,
    )


SHAPES = {
    "tiny": ModelShape(),
    "4 times": _grown(288, 6, 16),
    "16 times": _grown(512, 6, 24),
}


class Cost(NamedTuple):
    """Of one rank, the largest over ranks; of the driver where it says so."""

    feed_bytes: float
    """Of the token corpus that a rank reads a step."""
    feed: float
    """Seconds of it."""
    memory: float
    """Resident bytes of a rank."""
    state_bytes: float
    """That a rank writes."""
    copy: float
    """Seconds that the copy of the state holds training up."""
    write: float
    """Seconds to write it."""
    checkpoint_bytes: float
    """Of the checkpoint, that a rank writes."""
    checkpoint: float
    """Seconds of it."""
    send_bytes: float
    """Of weights, that a rank gives to engines."""
    send_memory: float
    """Most that a rank holds beside its own weights and states meanwhile."""
    send: float
    """Seconds of it, with fingerprints."""
    driver_bytes: float = 0.0
    """That the stage's process sends to its ranks and has from them, in all steps together."""


class Row(NamedTuple):
    """A group of ranks."""

    name: str
    parameters: int
    ranks: int
    cost: Cost


def measure_rank(shape: ModelShape, placement: Placement, corpus: Path, folder: Path) -> Cost:
    """On each rank; rank 0 answers with the largest of each."""
    import torch

    from k2core.engines.learner import below
    from k2core.engines.megatron.trainer import Trainer
    from k2core.engines.wire import pack_bucket, plan_buckets
    from k2core.model.digest import Receipt
    from k2core.pretrain.batches import read_batch
    from k2core.tokens import TokenStream

    trainer = Trainer(shape, OptimConfig(), seed=0, placement=placement)
    rows = _ROWS_A_RANK
    stream = TokenStream(corpus, seed=0, sequence_length=_LENGTH)
    first = trainer.seat.data * rows
    reads = []
    for step in range(_STEPS):
        start = time.perf_counter()
        at = step * rows * placement.dp + first
        batch = read_batch(stream, range(at, at + rows))
        reads.append(time.perf_counter() - start)
        trainer.step(batch, 1e-4)
    copy, snapshot = _timed(trainer.snapshot)
    write, _ = _timed(lambda: snapshot.write(below(folder / "state")))
    export, written = _timed(lambda: trainer.export_checkpoint(folder / "checkpoint"))
    weights, receipt = trainer.weights, Receipt()
    before = _resident("VmRSS", anew=True)
    plan = plan_buckets(weights.shapes, weights.owners, torch.float32, _WINDOW_BYTES)
    share, named = [b for b in plan if b.owner == trainer.ranks.rank], weights.own()
    packed = (pack_bucket(bucket, named, receipt, trainer.device) for bucket in share)
    seconds, sent = _timed(lambda: sum(data.nbytes for data in packed))
    grown = _resident("VmHWM") - before
    state = sum(tensor.nbytes for tensor in snapshot.tensors.values())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    own = Cost(
        feed_bytes=rows * (_LENGTH + 1) * 2,
        feed=min(reads),
        memory=memory,
        state_bytes=state,
        copy=copy,
        write=write,
        checkpoint_bytes=written,
        checkpoint=export,
        send_bytes=sent,
        send_memory=grown,
        send=seconds,
    )
    found = trainer.ranks.collect(own)
    return Cost(*map(max, zip(*found, strict=True))) if found else own


def _resident(field: str, *, anew: bool = False) -> float:
    """Bytes, by the kernel's account of this process; `anew` the peak begins again."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    value = work()
    return time.perf_counter() - start, value


def measure(shapes: dict[str, ModelShape], ranks: Sequence[int]) -> list[Row]:
    """All groups, one after another."""
    from k2core.engines.torchrun import run_ranks
    from k2core.engines.torchrun.job import RankJob, write_job, write_value

    found = []
    for name, shape in shapes.items():
        for count in ranks:
            with tempfile.TemporaryDirectory(prefix="k2-scale-") as place:
                folder = Path(place)
                tokens = count * _ROWS_A_RANK * _STEPS * _LENGTH * 8
                write_corpus(
                    Corpus(name, tokens, 100, shape.vocab_size, _LENGTH, _ROWS_A_RANK),
                    folder / "corpus",
                )
                placement = Placement(num_ranks=count, micro_batch=_ROWS_A_RANK)
                inputs = (shape, placement, folder / "corpus", folder)
                cost = run_ranks(measure_rank, *inputs, placement=placement)
                write_job(folder, RankJob(measure_rank, inputs, placement), Silent())
                write_value(folder, cost)
                passed = sum((folder / file).stat().st_size for file in ("job", "value"))
            row = Row(name, sum_parameters(shape).total, count, cost._replace(driver_bytes=passed))
            found.append(row)
    return found


class Growth(NamedTuple):
    """c x parameters^a x ranks^b."""

    c: float
    a: float
    b: float

    def at(self, parameters: float, ranks: float) -> float:
        """Carried there."""
        return float(self.c * parameters**self.a * ranks**self.b)


def fit(rows: Sequence[Row], field: str) -> Growth:
    """By least squares of the logarithms."""
    xs = [[1.0, math.log(row.parameters), math.log(row.ranks)] for row in rows]
    ys = [math.log(max(getattr(row.cost, field), 1e-9)) for row in rows]
    c, a, b = np.linalg.lstsq(np.array(xs), np.array(ys), rcond=None)[0]
    return Growth(math.exp(c), float(a), float(b))


def main() -> None:
    """Print the tables."""
    rows, console = measure(SHAPES, _RANKS), Console(width=140)
    console.print(cost_table(rows))
    console.print(growth_table(rows))
    worst = max(fit(rows, field).b for field in Cost._fields if field.endswith("_bytes"))
    print(f"scale worst_growth_of_bytes_with_ranks={worst:.2f}")
    scale_text.main()


def cost_table(rows: Sequence[Row]) -> Table:
    """As measured."""
    table = Table("model", "ranks", *Cost._fields, title=(__doc__ or "").splitlines()[0])
    for name, parameters, ranks, cost in rows:
        cells = [
            f"{value / 1e6:,.2f} MB" if _is_bytes(field) else f"{value:.3f} s"
            for field, value in cost._asdict().items()
        ]
        table.add_row(f"{name}, {parameters / 1e6:.1f} M", str(ranks), *cells)
    return table


def growth_table(rows: Sequence[Row]) -> Table:
    """Fitted, and carried to k2_1t on clusters, beside the plan's."""
    from workflows.large_recipes import K2_SHAPE

    total, planned = sum_parameters(K2_SHAPE).total, plan_512()
    columns = [f"on {count:,} ranks" for count in _CLUSTERS]
    table = Table(
        "of", "with parameters", "with ranks", *columns, "k2 plan, 512", title="carried to k2_1t"
    )
    for field in filter(_is_bytes, Cost._fields):
        growth = fit(rows, field)
        cells = [_say(field, growth.at(total, count)) for count in _CLUSTERS]
        plan = _say(field, planned[field]) if field in planned else ""
        table.add_row(field, f"^{growth.a:.2f}", f"^{growth.b:.2f}", *cells, plan)
    return table


def plan_512() -> dict[str, float]:
    """What `k2 plan` says of the same, on its own machines and layout."""
    from k2core.parallel.overheads import plan_overheads
    from k2core.parallel.plan import Assumptions, Plan
    from workflows.large_recipes import k2_1t
    from workflows.plan import plan_own

    training = plan_own(k2_1t(), Assumptions())[0]
    assert isinstance(training.found, Plan)
    found = plan_overheads(training.found, training.job)
    return {
        "feed_bytes": found.feed_bytes,
        "feed": found.feed,
        "state_bytes": found.state_bytes / 512,
        "copy": found.copy,
        "write": found.write,
    }


def _is_bytes(field: str) -> bool:
    return field.endswith(("_bytes", "memory"))


def _say(field: str, value: float) -> str:
    return f"{value / 1e9:,.3g} GB" if _is_bytes(field) else f"{value:,.3g} s"


if __name__ == "__main__":
    main()
