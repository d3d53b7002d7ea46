"""Reinforcement learning from equal weights: objectives, budgets, and whole or partial rollouts."""

import statistics
from collections.abc import Mapping, Sequence
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING

from schemas.rl import RlConfig
from workflows.ablations.configs import PracticeAblation
from workflows.ablations.kept import Result
from workflows.ablations.paired import mean_and_spread, mean_difference
from workflows.ablations.policies import CommonStart, practise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Results = Mapping[str, Sequence[Result]]
"""By arm, in the order of the seeds."""


def draw_arms(config: PracticeAblation) -> dict[str, list[RlConfig]]:
    """Each arm's configs, in the order of the seeds."""
    plain = config.rl.model_dump()
    return {
        name: [RlConfig.model_validate(plain | changes | {"seed": s}) for s in range(config.seeds)]
        for name, changes in config.arms.items()
    }


def ask_few(start: CommonStart, config: PracticeAblation) -> CommonStart:
    """With the config's families alone."""
    asked = {"families": dict.fromkeys(config.families, 1.0)}
    return start._replace(problems=start.problems.model_copy(update=asked))


def run_arm(start: CommonStart, rl: RlConfig) -> Result:
    """One arm of one seed.

    Returns:
        By iteration `reward`, `length` (tokens that the policy wrote, a dialogue), `over_budget`
        (share), `stale` (share of the tokens that nothing is learned from) and `tokens` (sampled
        in it); `validation`: pass rates before the first update and after the last.
    """
    history = practise(start, rl)
    iterations = history["iterations"]
    asked = rl.problems_per_iteration * rl.samples_per_problem
    return {
        "reward": [each["reward"] for each in iterations],
        "length": [each["length"] for each in iterations],
        "over_budget": [each["over_budget_frac"] for each in iterations],
        "stale": [each["stale_frac"] for each in iterations],
        "tokens": [each["length"] * (asked - each["unfinished"]) for each in iterations],
        "validation": [iterations[0]["validation"]["rate"], history["final"]["rate"]],
    }


def reward_at(result: Result, tokens: float, late: int) -> float:
    """Mean reward of the last iterations within so many sampled tokens.

    Args:
        result: of an arm.
        tokens: sampled, all iterations together.
        late: how many iterations the mean is over.
    """
    within = list(takewhile(lambda total: total <= tokens, accumulate(result["tokens"])))
    return statistics.fmean(result["reward"][: len(within)][-late:])


def tabulate(config: PracticeAblation, results: Results) -> str:
    """A row an arm: at equal tokens, what it came to, and against the first arm, seed by seed."""
    late = config.late
    equal = min(sum(result["tokens"]) for some in results.values() for result in some)
    first = next(iter(results))
    lines = [
        f"| | reward at {equal:,.0f} tokens | less {first}'s | passed before | after "
        "| tokens a dialogue, late | over budget, late |",
        "|---|---|---|---|---|---|---|",
    ]
    plain = [reward_at(result, equal, late) for result in results[first]]
    for name, some in results.items():
        rewards = [reward_at(result, equal, late) for result in some]
        against = "" if name == first else str(mean_difference(rewards, plain))
        before, after = zip(*(result["validation"] for result in some), strict=True)
        lengths = [statistics.fmean(result["length"][-late:]) for result in some]
        over = [statistics.fmean(result["over_budget"][-late:]) for result in some]
        cells = [
            *(mean_and_spread(rewards), against, mean_and_spread(before), mean_and_spread(after)),
            *(mean_and_spread(lengths, 1), mean_and_spread(over)),
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(results: Results) -> "Figure":
    """Reward and length over the tokens that were sampled: each seed's, and their mean."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, what in zip(figure.subplots(1, 2), ("reward", "length"), strict=True):
        for color, (name, some) in enumerate(results.items()):
            for result in some:
                tokens = list(accumulate(result["tokens"]))
                axes.plot(tokens, result[what], f"C{color}", lw=0.5, alpha=0.3)
            tokens, mean = (
                [statistics.fmean(values) for values in zip(*curves, strict=True)]
                for curves in (
                    [list(accumulate(result["tokens"])) for result in some],
                    [result[what] for result in some],
                )
            )
            axes.plot(tokens, mean, f"C{color}", lw=1.8, label=name)
        axes.set(xlabel="tokens sampled", ylabel=what)
    axes.legend(fontsize="small")
    return figure
