"""What both contestants of `bench.rl` are given: a checkpoint, the same problems a step, limits."""

import contextlib
import random
from pathlib import Path
from typing import NamedTuple, Self

import psutil
from pydantic import BaseModel

from k2core.rl.priority import Successes, choose_problems
from k2core.rl.stage import practice_problems
from schemas.chat import Problem
from schemas.problems import ProblemsConfig
from schemas.rl import RlConfig

FAMILIES = (
    "repeat_word", "follow_format", "pick_word", "sum_mental", "linear_function", "text_function",
)  # fmt: skip
"""Of one turn and without tools, which the peer's loop has no simulators for."""
PROBLEMS, SAMPLES = 24, 8
UNFINISHED = -0.25
"""Of an answer that the limit cut off or that breaks the format, for both."""


class Spec(BaseModel):
    """One training run."""

    checkpoint: Path
    steps: list[list[Problem]]
    """The problems of each step."""
    seed: int
    max_tokens: int
    temperature: float = 1.0
    lr: float
    """The contestant's own."""
    threads: int = 1
    """Of each process."""

    @classmethod
    def read(cls, path: str) -> Self:
        """From a file."""
        return cls.model_validate_json(Path(path).read_text())


class Step(NamedTuple):
    """What a step took and earned."""

    seconds: float
    cpu: float
    """CPU seconds, of the contestant and all processes that it has started."""
    parts: dict[str, float]
    """Seconds by part."""
    tokens: int
    """That the policy said."""
    reward: float


def cpu_seconds() -> float:
    """Of this process, those below it, and those of them that have ended."""
    me = psutil.Process()
    total = 0.0
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # own, and of children that were waited for
    return total


def config_of(num_steps: int, seed: int, max_tokens: int, lr: float) -> RlConfig:
    """K2's objective, nothing mixed in, every problem as likely as another."""
    plain = RlConfig()
    return RlConfig(
        num_iterations=num_steps,
        decay_iterations=num_steps,
        num_problems=512,
        problems_per_iteration=PROBLEMS,
        samples_per_problem=SAMPLES,
        optim=plain.optim.model_copy(update={"lr": lr}),
        final_lr_frac=1.0,
        final_temperature=1.0,
        token_budgets=dict.fromkeys(FAMILIES, max_tokens),
        over_budget_reward=UNFINISHED,
        malformed_reward=UNFINISHED,
        validation_every=0,
        keep="last",
        ptx_weight=0.0,
        priority_floor=1.0,
        min_success_rate=0.0,
        max_num_seqs=PROBLEMS * SAMPLES // 2,  # all at once, as the peer's batch: they are short
        seed=seed,
    )


def problems_config() -> ProblemsConfig:
    """One turn each."""
    return ProblemsConfig(families=dict.fromkeys(FAMILIES, 1.0), two_turn_frac=0.0)


def spec_of(
    checkpoint: Path, num_steps: int, seed: int, max_tokens: int, lr: float, threads: int
) -> Spec:
    """The problems that our loop will draw, which the peer is given in the same order."""
    config = config_of(num_steps, seed, max_tokens, lr)
    pool = practice_problems(config, problems_config())
    steps = [
        choose_problems(pool, Successes(), PROBLEMS, 1.0, 0.0, random.Random(f"{seed}/{index}"))
        for index in range(num_steps)
    ]
    return Spec(
        checkpoint=checkpoint,
        steps=steps,
        seed=seed,
        max_tokens=max_tokens,
        lr=lr,
        threads=threads,
    )
