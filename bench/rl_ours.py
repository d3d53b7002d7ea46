"""Our side of `bench.rl`: the stage itself, two ranks and two engines, a line a step.

python -m bench.rl_ours SPEC RESULT
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import polars as pl

from bench.rl_spec import Spec, Step, config_of, cpu_seconds, problems_config
from k2core.reporting import Silent
from k2core.rl.stage import train_policy
from k2core.store import Draft, Store
from schemas.artifacts import Checkpoint, TrajectorySet
from schemas.placement import Placement
from schemas.rl import RlConfig


class _Stopwatch(Silent):
    """When each iteration's figures came, and its seconds by part."""

    def __init__(self) -> None:
        self.times, self.cpu = list[float](), list[float]()
        self.parts = list[dict[str, float]]()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Once an iteration; what follows the last is not of one."""
        if "seconds/rollout" in values:
            self.times.append(time.perf_counter())
            self.cpu.append(cpu_seconds())
            parts = {n: v for n, v in values.items() if n.startswith("seconds/")}
            within = ("tools", "wait")  # which are parts of `rollout`
            named = {n.removeprefix("seconds/"): v for n, v in parts.items()}
            self.parts.append({n: v for n, v in named.items() if n not in within})


def practise(spec: Spec) -> list[Step]:
    """Train, and read what each iteration earned from its rollouts.

    Raises:
        ValueError: other problems were asked than the peer's.
    """
    config: RlConfig = config_of(len(spec.steps), spec.seed, spec.max_tokens, spec.lr)
    watch = _Stopwatch()
    with tempfile.TemporaryDirectory() as home:
        store = Store(Path(home))
        copied = Path(shutil.copytree(spec.checkpoint, Path(home) / "start"))
        start = store.publish(Checkpoint, Draft(copied, {}))
        unused = TrajectorySet(digest="sha256:" + "0" * 64, counts={})
        space = store.workspace("bench", watch)
        watch.times.append(time.perf_counter())
        watch.cpu.append(cpu_seconds())
        drafts = train_policy(config, problems_config(), start, unused, Placement(), space)
        rollouts = [
            pl.read_parquet(path)
            for path in sorted((drafts.rollouts.folder / "rollouts").glob("*.parquet"))
        ]
    for asked, found in zip(spec.steps, rollouts, strict=True):
        if {p.problem_id for p in asked} != set(found["problem_id"]):
            raise ValueError("the contestants were not asked the same problems")
    pairs = zip(pairwise(watch.times), pairwise(watch.cpu), watch.parts, rollouts, strict=True)
    return [
        Step(
            late - early,
            more - less,
            parts,
            int(rows["num_tokens"].sum()),
            sum(rows["reward"]) / len(rows),
        )
        for (early, late), (less, more), parts, rows in pairs
    ]


if __name__ == "__main__":
    found = practise(Spec.read(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps([step._asdict() for step in found]))
