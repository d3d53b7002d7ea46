"""RL steps a second: the stage against TRL's GRPO, in turn, from one checkpoint on equal problems.

    python -m bench.rl CHECKPOINT

Both are asked the same problems in the same order, sample as many answers of at most as many
tokens, ask the same verifiers and take one update a step; each has its own objective and optimizer
at its own learning rate. Each has the whole machine while it runs. Ours is two ranks and two
engines; TRL is a process with transformers' own generation (it takes no vLLM for CPU cores), once
with a thread and once with one a core: its faster setting counts. So the figure is steps a second,
by wall time, and says something on an idle machine alone; CPU seconds of all processes of each are
shown beside it. A round is a fresh process of each; its first step, which warms up, is left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.contest import ROOT, peer_python
from bench.rl_spec import Spec, Step, spec_of

OURS = "ours"
PEERS = {
    f"TRL GRPO, {threads} threads": threads for threads in sorted({1, len(os.sched_getaffinity(0))})
}
"""With so many threads."""


def run_side(side: str, spec: Spec, folder: Path) -> list[Step]:
    """A training run in a process of its own.

    Raises:
        CalledProcessError: it failed; its messages have been shown.
    """
    told, result = folder / f"{side}.json", folder / f"{side}-steps.json"
    told.write_text(spec.model_dump_json())
    script = str(ROOT / "bench" / "peers" / "trl_grpo.py")
    ours = (sys.executable, "-m", "bench.rl_ours")
    program = ours if side == OURS else (str(peer_python("trl")), script)
    threads = {"OMP_NUM_THREADS": str(spec.threads), "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **threads, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        (*program, str(told), str(result)),
        check=False,
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    if done.returncode:
        sys.stderr.buffer.write(done.stderr)
    done.check_returncode()
    return [Step(**step) for step in json.loads(result.read_text())]


def reward_at(steps: Sequence[Step], tokens: int) -> float:
    """Mean reward of the last four steps within so many tokens."""
    spent, within = 0, list[float]()
    for step in steps:
        spent += step.tokens
        if spent > tokens and within:
            break
        within.append(step.reward)
    return statistics.fmean(within[-4:])


def main(arguments: Sequence[str] = ()) -> None:
    """Print the tables and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a folder in the Hugging Face layout")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=80)
    parser.add_argument("--our-lr", type=float, default=8e-4)
    parser.add_argument("--peer-lr", type=float, default=1e-4)
    options = parser.parse_args(arguments)
    sides = [OURS, *PEERS]
    runs: dict[str, list[list[Step]]] = {side: [] for side in sides}
    for number in range(options.rounds):
        for side in reversed(sides) if number % 2 else sides:
            spec = spec_of(
                options.checkpoint.absolute(),
                options.steps,
                number,
                options.max_tokens,
                options.our_lr if side == OURS else options.peer_lr,
                PEERS.get(side, 1),
            )
            with tempfile.TemporaryDirectory() as folder:
                runs[side].append(run_side(side, spec, Path(folder)))
    print_figures(runs)


def print_figures(runs: dict[str, list[list[Step]]]) -> None:
    """Steps, their parts, what was earned at equal tokens, and the ratio of steps a second."""
    console = Console(width=120)
    table = Table("contestant", "CPU s a step", "wall", "tokens a step", "wall by part")
    cpu, walls = dict[str, float](), dict[str, float]()
    for side, rounds in runs.items():
        steps = [step for steps in rounds for step in steps[1:]]
        cpu[side] = statistics.median(step.cpu for step in steps)
        walls[side] = statistics.median(step.seconds for step in steps)
        wall = statistics.fmean(step.seconds for step in steps)
        parts = {part: 0.0 for step in steps for part in step.parts}
        said = [
            f"{part} {statistics.fmean(s.parts.get(part, 0.0) for s in steps) / wall:.0%}"
            for part in parts
        ]
        table.add_row(
            side,
            f"{cpu[side]:.2f}",
            f"{walls[side]:.2f}",
            f"{statistics.fmean(step.tokens for step in steps):,.0f}",
            ", ".join(said),
        )
    console.print(table)
    earned = Table("seed", "tokens", *runs)
    for number, pair in enumerate(zip(*runs.values(), strict=True)):
        tokens = min(sum(step.tokens for step in steps) for steps in pair)
        found = [f"{reward_at(steps, tokens):.3f}" for steps in pair]
        earned.add_row(str(number), f"{tokens:,}", *found)
    console.print(earned)
    print(f"CPU seconds: {min(cpu[side] for side in PEERS) / cpu[OURS]:.2f}")
    print(f"rl ratio={min(walls[side] for side in PEERS) / walls[OURS]:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
