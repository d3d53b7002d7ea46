"""Optimizers in every layout, 20 steps, clips forced, against naive float64 in one process."""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from bench.reference import NaiveK2
from k2core.engines.torchrun import run_ranks
from schemas.base import Config
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement

NUM_RANKS = 4
SHAPE = ModelShape(
    vocab_size=320,
    num_layers=4,
    hidden_size=32,
    num_heads=4,
    q_lora_rank=16,
    kv_lora_rank=16,
    qk_nope_head_dim=8,
    qk_rope_head_dim=8,
    v_head_dim=12,
    ffn_hidden_size=48,
    moe_ffn_hidden_size=16,
    num_experts=4,
    max_position_embeddings=64,
    original_max_position_embeddings=64,
    init_std=0.1,
)
_LR = 1e-3
ADAMW = OptimConfig(kind="AdamW", adam_eps=1e-4)
"""An epsilon above the rounding of gradients: at 1e-8 an embedding whose gradient is nothing but
rounding would make a whole step of it, another one in every layout."""
OWN = OptimConfig(kind="bench.heavy_ball:HeavyBall", options={"mu": 0.9})
Sizes = dict[str, int]
_SIZES: list[Sizes] = [
    {"tp": 1},
    *({kind: size} for kind, size in (("tp", 2), ("pp", 2), ("pp", 4), ("ep", 2), ("ep", 4))),
    *({"cp": size} for size in (2, 4)),
]
_PAIRS: list[Sizes] = [
    *({first: 2, second: 2} for first, second in combinations(("tp", "pp", "ep", "cp"), 2)),
    *({"cp": 4, "ep": size} for size in (2, 4)),
    {"cp": 2, "ep": 4},
    {"cp": 2, "pp": 2, "ep": 2},
]


class Case(Config):
    """One layout and form of the optimizer."""

    placement: Placement
    optim: OptimConfig = OptimConfig(qk_clip_tau=0.05)
    alike: bool = False
    """Rows begin alike in pairs, for which ranks that may compute once what a pair shares."""

    @property
    def name(self) -> str:
        """Such as `tp2 pp2 flat`."""
        p = self.placement
        sizes = [("dp", p.dp), ("tp", p.tp), ("cp", p.cp), ("pp", p.pp), ("ep", p.ep)]
        parts = [f"{kind}{size}" for kind, size in sizes if size > 1]
        forms = [form for form in ("nesterov", "split_heads") if getattr(self.optim, form)]
        saved = [f"recompute-{p.recompute}"] if p.recompute != "none" else []
        saved += ["offload"] if p.offload else []
        kind = self.optim.kind.rpartition(":")[2]
        other = [kind] if kind != "MuonClip" else []
        alike = ["alike"] if self.alike else []
        return " ".join([*parts, p.zero, *other, *forms, *saved, *alike])


class Result(Config):
    """How far a case is from the reference after its steps."""

    name: str
    max_difference: float
    """Over all weights, router biases among them."""
    where: str
    """The tensor that has it; most often the last norm's gain, near 1, in fp32's own steps."""
    matrix_difference: float
    """Over matrices alone, Muon's."""
    num_clips: int
    equal_clips: bool
    """Steps, layers and heads are identical; logits and factors within 1e-5."""
    seconds: float


def all_cases() -> list[Case]:
    """Each kind of parallelism, their pairs, both kinds of ZeRO-1, by MuonClip and by AdamW.

    Then other optimizers and forms. Last, what saves activations where ranks share sequences.
    """
    found = [
        Case(placement=_placement(sizes, zero), optim=optim)
        for optim in (OptimConfig(qk_clip_tau=0.05), ADAMW)
        for sizes in _SIZES + _PAIRS
        for zero in ("matrix", "flat")
    ]
    for sizes in ({"tp": 1}, {"tp": 2, "pp": 2}, {"cp": 2, "ep": 2}):
        for optim, zero in ((OptimConfig(kind="Muon"), "flat"), (OWN, "matrix")):
            found.append(Case(placement=_placement(sizes, zero), optim=optim))
    moonlight = OptimConfig(qk_clip_tau=0.05, nesterov=True, split_heads=True)
    found.append(Case(placement=_placement({"tp": 2}, "flat"), optim=moonlight))
    for sizes, recompute in (({"cp": 2, "pp": 2}, "selective"), ({"cp": 2, "ep": 2}, "full")):
        placement = _placement(sizes, "matrix").model_copy(
            update={"recompute": recompute, "offload": True}
        )
        found.append(Case(placement=placement))
    for sizes in (*_SIZES, {"pp": 2, "ep": 2}, {"pp": 2, "tp": 2}):
        for recompute in ("none", "selective", "full"):
            layout = _placement(sizes, "matrix", micro_batch=2)
            placement = layout.model_copy(update={"recompute": recompute})
            found.append(Case(placement=placement, alike=True))
    return found


def _placement(sizes: Sizes, zero: str, micro_batch: int = 1) -> Placement:
    return Placement.model_validate(
        {"num_ranks": NUM_RANKS, "micro_batch": micro_batch, "zero": zero, **sizes}
    )


def compare(
    cases: Sequence[Case], num_steps: int = 20, results: Path | None = None
) -> list[Result]:
    """Run all cases one after another in one group of four processes.

    Args:
        cases: layouts and forms.
        num_steps: optimizer steps of each.
        results: a file that finished cases are added to, and whose cases are not run again; None
            runs all.
    """
    with tempfile.TemporaryDirectory(prefix="k2-parity-") as name:
        found = (results or Path(name) / "results.jsonl").absolute()
        done = _read_results(found, num_steps)
        missing = [case for case in cases if case.name not in done]
        if missing:
            four = Placement(num_ranks=NUM_RANKS)
            run_ranks(run_cases, missing, num_steps, found, placement=four)
            done = _read_results(found, num_steps)
    return [done[case.name] for case in cases]


def _read_results(file: Path, num_steps: int) -> dict[str, Result]:
    if not file.exists():
        return {}
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    found = [Result(**row) for row in rows if row.pop("steps") == num_steps]
    return {result.name: result for result in found}


def run_cases(cases: Sequence[Case], num_steps: int, results: Path) -> None:
    """On each rank: every case in turn; rank 0 compares and writes."""
    references: dict[str, NaiveK2] = {}
    for case in cases:
        _run(case, num_steps, references, results)


def _batch(
    step: int, *, alike: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Eight rows, uneven padding; two documents each, a masked label at the seam.

    Or one document each, where pairs begin alike.
    """
    rows, width = 8, 16
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, SHAPE.vocab_size, (rows, width + 1), generator=generator)
    segments = (torch.arange(width) >= width // 3).long().repeat(rows, 1)
    if alike:
        segments.zero_()
        tokens[1::2, : width // 2] = tokens[::2, : width // 2]
    for row in range(1, rows):
        segments[row, width - row :] = -1
    mask = (segments >= 0).float()
    mask[:, width // 3 - 1] = 0
    return tokens[:, :-1], tokens[:, 1:], mask, segments


def _run(case: Case, num_steps: int, references: dict[str, NaiveK2], results: Path) -> None:
    from k2core.engines.megatron import offload
    from k2core.engines.megatron.batch import Batch
    from k2core.engines.megatron.folding import GROUP
    from k2core.engines.megatron.trainer import Trainer
    from k2core.model.scaling import routed_scaling_factor

    offload.SMALLEST = 1  # so small a model's activations, too
    started = time.perf_counter()
    trainer = Trainer(SHAPE, case.optim, seed=0, placement=case.placement)
    start = trainer.export_weights()
    clips = []
    for step in range(num_steps):
        whole, mine = Batch(*_batch(step, alike=case.alike)), trainer.seat.data
        if case.alike:
            whole = whole._replace(extra={GROUP: torch.arange(8) // 2})
        rows = len(whole.tokens) // case.placement.dp
        stats = trainer.step(whole.select_rows(mine * rows, (mine + 1) * rows), _LR)
        clips += [(step + 1, *event) for event in stats.clips]
    end = trainer.export_weights()
    seconds = time.perf_counter() - started
    if not end:
        return
    said = f"{case.optim.model_dump_json()} {case.alike}"
    if said not in references:
        naive = NaiveK2(start, SHAPE, case.optim, routed_scaling_factor(SHAPE))
        for step in range(num_steps):
            tokens, labels, mask, segments = _batch(step, alike=case.alike)
            naive.step((tokens, labels, mask.double(), segments), _LR)
        references[said] = naive
    naive = references[said]
    wanted = {**naive.weights, **naive.biases}
    apart = {n: float((end[n].double() - t).abs().max()) for n, t in wanted.items()}
    where = max(apart, key=apart.__getitem__)
    same = len(clips) == len(naive.clips) and all(
        ours[:3] == theirs[:3] and max(abs(ours[3] - theirs[3]), abs(ours[4] - theirs[4])) < 1e-5
        for ours, theirs in zip(clips, naive.clips, strict=True)
    )
    result = Result(
        name=case.name,
        max_difference=apart[where],
        where=where,
        matrix_difference=max(apart[n] for n, t in wanted.items() if t.ndim > 1),
        num_clips=len(clips),
        equal_clips=same,
        seconds=seconds,
    )
    with results.open("a") as file:
        file.write(json.dumps({"steps": num_steps, **result.model_dump()}) + "\n")


def main(num_steps: int = 20, only: str = "", results: Path | None = None) -> None:
    """Print layout x max difference x clip events."""
    columns = ("layout on 4 ranks", "max difference", "of matrices", "clip events", "equal")
    table = Table(*columns, title=__doc__)
    found = compare([case for case in all_cases() if only in case.name], num_steps, results)
    for r in found:
        differences = f"{r.max_difference:.1e}", f"{r.matrix_difference:.1e}"
        table.add_row(r.name, *differences, str(r.num_clips), str(r.equal_clips))
    Console().print(table)
    worst = max(r.max_difference for r in found)
    print(f"parity max_difference={worst:.1e} equal_clips={all(r.equal_clips for r in found)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps a layout")
    parser.add_argument("--only", default="", help="layouts whose name has this word, such as cp")
    parser.add_argument("--results", type=Path, help="file of results; a killed run goes on there")
    arguments = parser.parse_args()
    from bench import parity  # ranks import it by this name

    parity.main(arguments.steps, arguments.only, arguments.results)
