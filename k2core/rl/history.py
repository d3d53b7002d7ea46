"""What each iteration measured; saved with its state, so that the curves survive a kill."""

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from k2core.rl.examine import ValidationRates, is_alarming
from k2core.rl.samples import Sample
from schemas.base import Config

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from k2core.engines.megatron.batch import StepStats


class Iteration(Config):
    """One iteration's figures; means over its samples."""

    rewards: dict[str, float]
    """Mean reward by family."""
    reward: float
    pass_rate: float
    length: float
    """Tokens that the policy wrote, a dialogue."""
    over_budget_frac: float
    """Share of dialogues that their budget cut off."""
    predicted_truncated_frac: float = 0.0
    """That share as it was expected before the step."""
    stale_frac: float = 0.0
    """Share of the tokens that earlier iterations wrote, of which nothing is learned."""
    lag_mean: float = 0.0
    """Updates between the weights that wrote a token and those that learned from its dialogue."""
    lag_max: int = 0
    """The most of them."""
    unfinished: int = 0
    """Dialogues that go on in the next iteration."""
    learnable_frac: float
    """Share of problems whose samples' rewards differ: all others teach nothing."""
    temperature: float
    lr: float
    validation: ValidationRates | None = None
    """Before this iteration's update, where it was due."""
    dropped: dict[str, int] = Field(default_factory=dict)
    """Reason -> problems that were left out, because something other than the policy failed."""
    mismatch: dict[str, float] = Field(default_factory=dict)
    """Engine against trainer, a token, where it was measured (`k2core.rl.mismatch`)."""
    critic: dict[str, float] = Field(default_factory=dict)
    """Its agreement with the verifiers, beside the frozen one's, and what it compared."""
    updates: dict[str, float] = Field(default_factory=dict)
    """Of the last update: loss, its parts, log ratio, KL, largest logit."""
    parity: float = 0.0
    """Mean |log p of the engine - log p of the trainer| a token, under equal weights."""

    def curves(self) -> dict[str, float]:
        """Flat, for the reporter."""
        groups = {"rewards", "updates", "validation", "dropped", "mismatch", "critic"}
        curves: dict[str, float] = {
            **self.model_dump(exclude=groups),
            **{f"reward/{family}": reward for family, reward in self.rewards.items()},
            **{f"mismatch/{name}": value for name, value in self.mismatch.items()},
            **{f"critic/{name}": value for name, value in self.critic.items()},
            "dropped": float(sum(self.dropped.values())),
            **self.updates,
        }
        if self.validation:
            rates = self.validation.families.items()
            curves["validation"] = self.validation.rate
            curves |= {f"validation/{family}": rate for family, rate in rates}
        return curves


class History(Config):
    """All iterations so far."""

    iterations: tuple[Iteration, ...] = ()
    final: ValidationRates | None = None
    """Of the last weights."""

    def add(self, iteration: Iteration) -> "History":
        """With one more."""
        return self.model_copy(update={"iterations": (*self.iterations, iteration)})

    @property
    def validations(self) -> list[ValidationRates]:
        """All that were made before updates, in order."""
        return [i.validation for i in self.iterations if i.validation]

    @property
    def best(self) -> int | None:
        """Iterations that the best weights by validation had seen; None if none was examined.

        They are the latest that no other was better than by more than a standard error: what so few
        problems cannot tell apart, practice decides.
        """
        found = [(i.validation, n) for n, i in enumerate(self.iterations)]
        found.append((self.final, len(self.iterations)))
        examined = [(validation, n) for validation, n in found if validation]
        earlier = [validation for validation, _ in examined]
        return max((n for found, n in examined if found.is_as_good_as(earlier)), default=None)


def measure(
    samples: Sequence[Sample], num_learnable: int, temperature: float, lr: float
) -> Iteration:
    """Figures of an iteration's samples, before its updates."""
    by_family: dict[str, list[float]] = {}
    for sample in samples:
        by_family.setdefault(sample.problem.family, []).append(sample.reward)
    return Iteration(
        rewards={family: statistics.fmean(by_family[family]) for family in sorted(by_family)},
        reward=statistics.fmean(s.reward for s in samples),
        pass_rate=statistics.fmean(s.passed for s in samples),
        length=statistics.fmean(s.dialogue.num_tokens for s in samples),
        over_budget_frac=statistics.fmean(s.dialogue.over_budget for s in samples),
        stale_frac=sum(s.dialogue.num_stale for s in samples)
        / max(1, sum(s.dialogue.num_tokens for s in samples)),
        learnable_frac=num_learnable / len(samples),
        temperature=temperature,
        lr=lr,
    )


def with_updates(iteration: Iteration, stats: "Sequence[StepStats]", parity: float) -> Iteration:
    """With what the iteration's updates did."""
    if not stats:
        return iteration
    last = stats[-1]
    figures = {
        **last.metrics,
        "loss": last.loss,
        "grad_norm": last.grad_norm,
        "max_logit": max(last.max_logits),
        "clipped_heads": float(len(last.clips)),
    }
    return iteration.model_copy(update={"updates": figures, "parity": parity})


def draw_rewards(history: History) -> "Figure":
    """Mean reward of each family over iterations, and of all."""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle("color", matplotlib.color_sequences["tab20"])  # no two families alike
    families = sorted({family for i in history.iterations for family in i.rewards})
    for family in families:
        points = [
            (step, i.rewards[family])
            for step, i in enumerate(history.iterations, start=1)
            if family in i.rewards
        ]
        axes.plot(*zip(*points, strict=True), lw=1.0, alpha=0.7, label=family)
    steps = range(1, len(history.iterations) + 1)
    axes.plot(steps, [i.reward for i in history.iterations], "k", lw=2.0, label="all")
    examined = [(s, i.validation) for s, i in enumerate(history.iterations, 1) if i.validation]
    if examined:
        rates = [found.rate for _, found in examined]
        errors = [1.96 * found.standard_error for _, found in examined]
        places = [step for step, _ in examined]
        axes.errorbar(places, rates, errors, fmt="ro-", capsize=3, label="validation")
    for step, iteration in enumerate(history.iterations, 1):
        if iteration.validation and is_alarming(history.iterations[:step]):
            axes.axvline(step, color="r", ls=":", label="alarm: reward rises, validation falls")
    axes.set(xlabel="iteration", ylabel="mean reward, pass rate")
    axes.legend(ncols=2, fontsize="x-small")
    return figure


def draw_length(history: History) -> "Figure":
    """Tokens a dialogue, and the share cut off by the budget."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    steps = range(1, len(history.iterations) + 1)
    upper.plot(steps, [i.length for i in history.iterations])
    upper.set(ylabel="tokens written")
    lower.plot(steps, [i.over_budget_frac for i in history.iterations], label="over budget")
    lower.plot(steps, [i.learnable_frac for i in history.iterations], label="learnable")
    lower.set(xlabel="iteration", ylabel="share")
    lower.legend(fontsize="small")
    return figure
