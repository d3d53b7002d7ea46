"""Rejection sampling: an expert tries a problem until a dialogue is accepted; all are kept."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from k2core.agents import Dialogue, Habits, play_expert
from k2core.problems import FAMILIES, Posed, pose_training
from k2core.synthesize.judge import JUDGE, Judge, Judgement
from schemas.chat import Message, Problem, ToolSpec
from schemas.problems import ProblemsConfig
from schemas.synthesize import SynthesizeConfig

_MESSAGES = TypeAdapter(tuple[Message, ...])


class Sample(NamedTuple):
    """One dialogue with its judgement."""

    dialogue: Dialogue
    judgement: Judgement
    attempt: int = 0

    @property
    def accepted(self) -> bool:
        """Whether it goes into the training set."""
        return not self.judgement.reason


class Conditions(NamedTuple):
    """What one attempt is played under: the expert's habits, and faults of the other sides."""

    habits: Habits
    shortcut: bool = False
    outage: bool = False
    silent_user: bool = False


def sample_problem(
    config: SynthesizeConfig,
    problems: ProblemsConfig,
    index: int,
    judge: Judge,
    distractors: Sequence[ToolSpec],
) -> Iterator[Sample]:
    """Attempts at the index-th training problem, up to the first that is accepted."""
    rng = random.Random(f"{config.seed}/synthesize/{index}")
    posed = pose_training(problems, index)
    problem, family = posed.problem, FAMILIES[posed.problem.family]
    if problem.tools and distractors and rng.random() < config.distractor_frac:
        problem = add_distractor(problem, rng.choice(distractors), rng)
    for attempt in range(config.max_attempts):
        conditions = draw_conditions(config, posed, rng, has_shortcut=family.has_shortcut)
        script = family.act(posed, shortcut=conditions.shortcut)
        dialogue = play_expert(spoil(problem, conditions), script, conditions.habits, rng)
        sample = Sample(dialogue, judge.judge(dialogue), attempt)
        yield sample
        if sample.accepted:
            return


def draw_conditions(
    config: SynthesizeConfig, posed: Posed, rng: random.Random, *, has_shortcut: bool
) -> Conditions:
    """Habits, and at most one fault of another side."""
    shortcut = has_shortcut and rng.random() < config.shortcut_frac
    outage = bool(posed.problem.tools) and rng.random() < config.outage_frac
    silent = bool(posed.problem.follow_ups) and rng.random() < config.silent_user_frac
    habits = Habits(
        slips=rng.random() < config.slip_frac,
        fails=rng.random() < config.failure_frac,
        insists=outage,
    )
    return Conditions(habits, shortcut, outage, silent and not outage)


def spoil(problem: Problem, conditions: Conditions) -> Problem:
    """The problem with the fault that the conditions ask for."""
    if conditions.silent_user:
        return problem.model_copy(update={"follow_ups": ()})
    if conditions.outage:
        tools: Any = problem.state["tools"]
        busy = {name: {**tool, "busy_rate": 1.0} for name, tool in tools.items()}
        state = {**problem.state, "tools": busy, "max_busy": problem.max_turns}
        return problem.model_copy(update={"state": state})
    return problem


def add_distractor(problem: Problem, spec: ToolSpec, rng: random.Random) -> Problem:
    """The problem with one more tool declared, which the server does not know."""
    tools = list(problem.tools)
    if spec.name in {tool.name for tool in tools}:
        return problem
    tools.insert(rng.randrange(len(tools) + 1), spec)
    return problem.model_copy(update={"tools": tuple(tools)})


def to_row(sample: Sample) -> dict[str, Any]:
    """A `TrajectoryRow`."""
    problem, dialogue = sample.dialogue.problem, sample.dialogue
    name = f"{problem.problem_id}/{sample.attempt}"
    return {
        "trajectory_id": hashlib.sha256(name.encode()).hexdigest()[:16],
        "problem_id": problem.problem_id,
        "family": problem.family,
        "group": problem.group,
        "agent": dialogue.weights,
        "problem": problem.model_dump_json(exclude_defaults=True),
        "messages": _MESSAGES.dump_json(dialogue.messages, exclude_defaults=True).decode(),
        "reward": sample.judgement.reward,
        "judge": JUDGE,
        "reason": sample.judgement.reason,
    }
