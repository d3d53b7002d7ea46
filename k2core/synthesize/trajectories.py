"""Rejection sampling: an expert tries a problem until a dialogue is accepted; all are kept."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from k2core.agents import Dialogue, Habits, Opening, play_expert
from k2core.agents.endpoint import ChatModel, play_model
from k2core.environments import open_environment
from k2core.problems import FAMILIES, Posed, pose_training, training_problem
from k2core.problems.family import Script
from k2core.synthesize.faults import Outage, SilentUser
from k2core.synthesize.judge import JUDGE, Judge, Judgement
from k2core.synthesize.scenario_expert import act
from k2core.tools.scenarios import draw_scenario
from schemas.chat import Message, Problem, ToolSpec
from schemas.problems import ProblemsConfig
from schemas.synthesize import SynthesizeConfig

_MESSAGES = TypeAdapter(tuple[Message, ...])
_BESIDE = ("Let me look.", "One moment.", "I will check.")
"""What an expert says beside a call."""
_NEAR = 30
"""Problems among which one with tools is looked for."""
MAX_FAULTY = 3
"""Faulty dialogues of a problem, until it is given up."""


class Trajectory(NamedTuple):
    """One dialogue with its judgement."""

    dialogue: Dialogue
    judgement: Judgement
    attempt: int = 0
    pass_rate: float = 1.0
    """Accepted share of the problem's attempts, once all of them were made."""

    @property
    def accepted(self) -> bool:
        """Whether it goes into the training set."""
        return not self.judgement.reason

    @property
    def trajectory_id(self) -> str:
        """By problem and attempt."""
        return name_trajectory(self.dialogue.problem.problem_id, self.attempt)


def name_trajectory(problem_id: str, attempt: int) -> str:
    """Identity of a problem's attempt."""
    return hashlib.sha256(f"{problem_id}/{attempt}".encode()).hexdigest()[:16]


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
    agent: ChatModel | None = None,
) -> list[Trajectory]:
    """All attempts at the index-th training problem, each judged.

    Args:
        config: habits, faults and how often to try.
        problems: what is asked.
        index: which training problem.
        judge: accepts or rejects.
        distractors: real tools that some problems declare in vain.
        agent: who acts; by default the family's scripted expert, who plays generated ones alone.
    """
    rng = random.Random(f"{config.seed}/synthesize/{index}")
    posed = (
        Posed(training_problem(problems, index), {}) if agent else pose_training(problems, index)
    )
    problem = posed.problem
    if problem.tools and distractors and rng.random() < config.distractor_frac:
        problem = add_distractor(problem, rng.choice(distractors), rng)
    elif not problem.tools and not agent and rng.random() < config.unfit_frac:
        problem = declare_unfit(problem, problems, index)

    def attempt() -> Dialogue:
        if agent:
            with Opening(judge.sandbox) as opening:
                return play_model(problem, agent, rng.randrange(2**31), opening.open)
        family = FAMILIES[problem.family]
        conditions = draw_conditions(config, posed, rng, has_shortcut=family.has_shortcut)
        script = family.act(posed, shortcut=conditions.shortcut)
        return play(problem, script, conditions, rng)

    return reject(config, attempt, judge)


def sample_scenario(
    config: SynthesizeConfig, index: int, judge: Judge, agent: ChatModel | None = None
) -> list[Trajectory]:
    """All attempts at the index-th scenario, each judged; arguments as of `sample_problem`."""
    rng = random.Random(f"{config.seed}/synthesize/scenario/{index}")
    scenario = draw_scenario(config.seed, index)
    posed = Posed(scenario.problem, {})

    def attempt() -> Dialogue:
        if agent:
            return play_model(scenario.problem, agent, rng.randrange(2**31))
        conditions = draw_conditions(config, posed, rng, has_shortcut=False)
        return play(scenario.problem, act(scenario), conditions, rng)

    return reject(config, attempt, judge)


def reject(
    config: SynthesizeConfig, attempt: Callable[[], Dialogue], judge: Judge
) -> list[Trajectory]:
    """Rejection sampling: `num_probes` attempts tell the pass rate; a hard problem gets more.

    While it is below `hard_pass_rate`, sampling goes on, up to `max_attempts`
    (arXiv:2507.20534, section 3.1.1: only what passes is kept). A faulty dialogue is kept as a
    reject and says nothing of the rate: the problem is tried again, up to `MAX_FAULTY` times.
    """
    samples: list[Trajectory] = []
    num_judged = num_passed = 0
    while num_judged < config.max_attempts and (
        num_judged < config.num_probes or num_passed < config.hard_pass_rate * num_judged
    ):
        dialogue = attempt()
        samples.append(Trajectory(dialogue, judge.judge(dialogue), len(samples)))
        num_judged += not samples[-1].judgement.is_faulty
        num_passed += samples[-1].accepted
        if len(samples) - num_judged == MAX_FAULTY:
            break
    rate = num_passed / max(num_judged, 1)
    return [sample._replace(pass_rate=rate) for sample in samples]


def play(problem: Problem, script: Script, conditions: Conditions, rng: random.Random) -> Dialogue:
    """One attempt under its conditions; the problem itself stays what it is."""
    environment = Outage(open_environment(problem)) if conditions.outage else None
    user = SilentUser() if conditions.silent_user else None
    return play_expert(problem, script, conditions.habits, rng, environment, user)


def draw_conditions(
    config: SynthesizeConfig, posed: Posed, rng: random.Random, *, has_shortcut: bool
) -> Conditions:
    """Habits, and at most one fault of another side."""
    shortcut = has_shortcut and rng.random() < config.shortcut_frac
    outage = bool(posed.problem.tools) and rng.random() < config.outage_frac
    user = posed.problem.user
    tells_more = bool(posed.problem.follow_ups) or (user is not None and len(user.goals) > 1)
    silent = tells_more and rng.random() < config.silent_user_frac
    habits = Habits(
        slips=rng.random() < config.slip_frac,
        fails=rng.random() < config.failure_frac,
        insists=outage,
        says=rng.choice(_BESIDE) if rng.random() < config.beside_frac else "",
    )
    return Conditions(habits, shortcut, outage, silent and not outage)


def declare_unfit(problem: Problem, problems: ProblemsConfig, index: int) -> Problem:
    """A problem without tools, with those of the next problem that has some declared in vain."""
    following = (pose_training(problems, index + n).problem for n in range(1, _NEAR))
    tools = next((other.tools for other in following if other.tools), ())
    return problem.model_copy(update={"tools": tools})


def add_distractor(problem: Problem, spec: ToolSpec, rng: random.Random) -> Problem:
    """The problem with one more tool declared, which the server does not know."""
    tools = list(problem.tools)
    if spec.name in {tool.name for tool in tools}:
        return problem
    tools.insert(rng.randrange(len(tools) + 1), spec)
    return problem.model_copy(update={"tools": tuple(tools)})


def to_row(sample: Trajectory) -> dict[str, Any]:
    """A `TrajectoryRow`."""
    problem, dialogue = sample.dialogue.problem, sample.dialogue
    before = sample.attempt - 1
    return {
        "trajectory_id": sample.trajectory_id,
        "problem_id": problem.problem_id,
        "attempt": sample.attempt,
        "parent": name_trajectory(problem.problem_id, before) if sample.attempt else "",
        "pass_rate": sample.pass_rate,
        "family": problem.family,
        "group": problem.group,
        "agent": dialogue.weights,
        "problem": problem.model_dump_json(exclude_defaults=True),
        "messages": _MESSAGES.dump_json(dialogue.messages, exclude_defaults=True).decode(),
        "state": json.dumps(dialogue.state, ensure_ascii=False),
        "stop_reason": dialogue.stop_reason,
        "reward": sample.judgement.reward,
        "judge": JUDGE,
        "fault": sample.judgement.fault,
        "reason": sample.judgement.reason,
    }


def from_row(row: Mapping[str, Any]) -> Dialogue:
    """The dialogue of a `TrajectoryRow`, whole enough to be judged again."""
    messages = _MESSAGES.validate_json(row["messages"])
    return Dialogue(
        Problem.model_validate_json(row["problem"]),
        messages,
        (),
        json.loads(row["state"]),
        row["stop_reason"],
        sum(len(message.tool_calls) for message in messages),
        row["agent"],
        row["reason"].partition(": ")[2] if row["stop_reason"] == "faulty" else "",
    )
