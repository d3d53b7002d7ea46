"""What experiments in reinforcement learning share: a run's finetuned weights, practised with."""

import hashlib
import json
from typing import Any, NamedTuple

from schemas.artifacts import Checkpoint, TrajectorySet
from schemas.placement import Placement, Serving
from schemas.problems import ProblemsConfig
from schemas.rl import RlConfig

_ONE = Placement(num_ranks=1, serving=Serving(num_engines=1))

Figures = dict[str, Any]
"""`k2core.rl.history.History` as JSON has it."""


class CommonStart(NamedTuple):
    """What all arms begin with."""

    problems: ProblemsConfig
    sft: Checkpoint
    trajectories: TrajectorySet


def find_start(run: str) -> CommonStart:
    """A run's problems, finetuned weights and trajectories.

    Args:
        run: its name, or `latest`.
    """
    from workflows.find import config_behind, find_artifact

    named = {name: find_artifact(f"{run}/{name}") for name in ("sft", "synthesize")}
    sft, trajectories = (artifact.model_dump() for artifact in named.values())
    return CommonStart(
        ProblemsConfig.model_validate(config_behind(named["synthesize"], "problems")),
        Checkpoint.model_validate(sft),
        TrajectorySet.model_validate(trajectories),
    )


def name_arm(start: CommonStart, rl: RlConfig) -> str:
    """A file name that only equal arms share."""
    said = [start.sft.digest, start.problems.model_dump_json(), rl.model_dump_json()]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


def practise(start: CommonStart, rl: RlConfig) -> Figures:
    """One arm, by one rank and one engine; a killed one goes on at its iteration."""
    from k2core.rl import train_policy
    from tasks.store import open_store

    store, key = open_store(), f"ablation-rl-{name_arm(start, rl)}"
    drafts = train_policy(
        rl, start.problems, start.sft, start.trajectories, _ONE, store.workspace(key)
    )
    training = json.loads((drafts.policy.folder / "training.json").read_text())
    store.clear(key)
    history: Figures = training["history"]
    return history
