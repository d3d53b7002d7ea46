"""What the stage begins with: a critic over its engines, or a reason why it cannot begin."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from k2core.chat import ChatCodec
from k2core.critic import Template, load_rubric
from k2core.rl.critic.judge import EngineCritic
from k2core.rl.critic.loop import CriticLoop
from k2core.rl.critic.rewards import CriticJudge
from k2core.rl.samples import Judge
from schemas.chat import Problem
from schemas.rl import RlConfig
from schemas.rubrics import RUBRIC

if TYPE_CHECKING:
    from k2core.engines.protocol import Engine


class Critic(NamedTuple):
    """The critic's two parts."""

    judge: CriticJudge
    loop: CriticLoop


def check_rubrics(config: RlConfig, problems: Sequence[Problem]) -> None:
    """Hold the problems that no verifier judges against what is there to judge them.

    Raises:
        ValueError: there is no critic, or a context is of no criterion; names a problem.
    """
    ranked = [problem for problem in problems if problem.verifier == RUBRIC]
    if ranked and config.critic is None:
        raise ValueError(
            f"{len(ranked)} training problems, such as {ranked[0].problem_id}, are for a critic: "
            "set rl.critic, e.g. rl.critic={}, or give their source weight 0"
        )
    if config.critic:
        rubric = load_rubric(config.critic.rubrics)
        for problem in ranked:
            rubric.of(problem)


def verified(problems: Sequence[Problem]) -> list[Problem]:
    """Those whose verifier says who is right: weights are compared on these."""
    return [problem for problem in problems if problem.verifier != RUBRIC]


def open_critic(
    config: RlConfig,
    codec: ChatCodec,
    engine: "Engine",
    max_context: int,
    verify: Judge,
    start: Path,
) -> Critic | None:
    """The critic that the config asks for.

    Args:
        config: of the stage.
        codec: of the policy.
        engine: of the rollouts.
        max_context: most tokens that it can hold.
        verify: verdicts by verifiers.
        start: the stage's first weights: the frozen critic.
    """
    if config.critic is None:
        return None
    template = Template(config.critic, codec)
    prefer = EngineCritic(engine, template, max_context)
    judge = CriticJudge(config.critic, template.rubric, prefer, verify, config.seed)
    freeze = partial(engine.load, start)
    loop = CriticLoop(config.critic, template, prefer, freeze, judge, config.seed)
    return Critic(judge, loop)
