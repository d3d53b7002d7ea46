"""Is this GPU machine right? One command of at most eight minutes, and what it found.

torch with CUDA and megatron-core are enough; vLLM and Transformer Engine are used where they are.
What is wrong stops nothing that comes after. Without a GPU the same checks run on the CPU, small.

    python -m bench.gpu
"""

import json
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from bench.gpu_checks import (
    MODES,
    Bench,
    Check,
    Figures,
    SkippedError,
    attention,
    checkpoint,
    engine,
    muonclip_bf16,
    muonclip_fp32,
    optimizer_step,
    right_device,
    training,
)
from schemas.model import ModelShape

BUDGET_S = 480.0
CHECKS: dict[str, Check] = {
    "right device": right_device,
    "MuonClip, fp32": muonclip_fp32,
    "MuonClip, bf16": muonclip_bf16,
    "attention": attention,
    "checkpoint": checkpoint,
    "optimizer step": optimizer_step,
    **{f"training, {mode.name}": training(mode) for mode in MODES},
    "engine": engine,
}
SMALL_SHAPE = ModelShape(
    vocab_size=300,
    num_layers=3,
    hidden_size=48,
    num_heads=2,
    q_lora_rank=24,
    kv_lora_rank=16,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=12,
    ffn_hidden_size=96,
    moe_ffn_hidden_size=32,
    num_experts=4,
    max_position_embeddings=256,
    original_max_position_embeddings=256,
    init_std=0.1,
)


class Found(NamedTuple):
    """Of one check."""

    verdict: str
    """`right`, `WRONG`, or `skipped`."""
    said: str
    figures: Figures
    seconds: float


def sizes(folder: Path) -> Bench:
    """The machine's: a model of 1.7 B parameters on a GPU, a tiny one on cores."""
    if not torch.cuda.is_available():
        small = SMALL_SHAPE
        return Bench(small, small, rows=2, length=48, square=256, rounds=1, folder=folder)
    from workflows.gpu_recipes import ONE_GPU_SHAPE

    return Bench(
        SMALL_SHAPE, ONE_GPU_SHAPE, rows=8, length=2048, square=8192, rounds=3, folder=folder
    )


def run_checks(checks: Mapping[str, Check], budget: float = BUDGET_S) -> dict[str, Found]:
    """One after another, until the time is up; each says what it found, or what is wrong."""
    found: dict[str, Found] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="k2-gpu-") as name:
        bench = sizes(Path(name))
        for title, check in checks.items():
            started = time.monotonic()
            if started - began > budget:
                found[title] = Found("skipped", f"{budget:.0f} s were up", {}, 0.0)
                continue
            try:
                verdict, said, figures = "right", "", check(bench)
            except SkippedError as error:
                verdict, said, figures = "skipped", str(error), {}
            except Exception as error:  # any: the machine is what is tried
                last = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(last.filename).name}:{last.lineno}"
                verdict, figures = "WRONG", {}
                said = f"{type(error).__name__} at {where}: {error}"
            found[title] = Found(verdict, said, figures, time.monotonic() - started)
            sys.stderr.write(f"{title}: {found[title].verdict}\n")
    return found


def main() -> int:
    """Print what was found, as a table and as a line of JSON; 1 where something is wrong."""
    found = run_checks(CHECKS)
    table = Table("check", "", "s", "figures", title=(__doc__ or "").splitlines()[0])
    for title, (verdict, said, figures, seconds) in found.items():
        text = said or ", ".join(f"{name} {_say(value)}" for name, value in figures.items())
        table.add_row(title, verdict, f"{seconds:.0f}", text)
    Console(width=140).print(table)
    print(json.dumps({title: one._asdict() for title, one in found.items()}))
    return int(any(one.verdict == "WRONG" for one in found.values()))


def _say(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.4g}"


if __name__ == "__main__":
    raise SystemExit(main())
