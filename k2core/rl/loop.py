"""Sample, judge, update, serve: the iterations of reinforcement learning."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from k2core.model.digest import tensors_digest
from k2core.rl.batches import build_batch, policy_rows, text_rows
from k2core.rl.history import History, Iteration, draw_length, draw_rewards, measure, with_updates
from k2core.rl.objective import policy_objective
from k2core.rl.priority import Successes, choose_problems
from k2core.rl.samples import Sample, informative, score, split_updates
from k2core.rl.state import Progress, Saves, States, rollout_table
from k2core.store import Workspace
from schemas.chat import Problem
from schemas.rl import RlConfig

if TYPE_CHECKING:
    from torch import Tensor

    from k2core.chat import EncodedDialogue
    from k2core.engines.megatron.batch import Batch, Objective, StepStats
    from k2core.rewards import Verdict


class Learner(Saves, Protocol):
    """What is trained: a `TrainerGroup`."""

    def step(self, batch: "Batch", lr: float, objective: "Objective") -> "StepStats":
        """One optimizer step."""

    def logprobs(self, batch: "Batch") -> "Tensor":
        """Log p of the labels."""

    def export_weights(self) -> "dict[str, Tensor]":
        """Weights by Hugging Face names."""


class Served(Protocol):
    """What samples: an engine."""

    def update_weights(self, tensors: "Mapping[str, Tensor]") -> str:
        """Serve these from now on."""


Play = Callable[[Sequence[Problem], Sequence[int], float], list[Sample]]
"""Dialogues with the problems' environments, one a problem and seed, at a temperature."""
Judge = Callable[[Sequence[Sample]], "list[Verdict]"]


@dataclass(frozen=True)
class Practice:
    """Everything that the iterations work with."""

    config: RlConfig
    problems: Sequence[Problem]
    """The training split; held-out problems are never among them."""
    texts: "Sequence[EncodedDialogue]"
    """Accepted trajectories, for PTX."""
    learner: Learner
    served: Served
    play: Play
    judge: Judge
    pad_id: int
    num_ranks: int


def run_iterations(practice: Practice, workspace: Workspace) -> History:
    """All iterations; a killed run goes on after the last one that it completed.

    Raises:
        FloatingPointError: loss or gradient is not finite; names the iteration.
    """
    config, report = practice.config, workspace.report
    states = States(workspace.scratch / "iterations")
    history, seen = states.resume(practice.learner)
    if history.iterations:
        _serve(practice)
    report.progress(len(history.iterations), config.num_iterations, "sampling")
    for index in range(len(history.iterations), config.num_iterations):
        rng = random.Random(f"{config.seed}/{index}")  # its own: resuming needs no other state
        temperature = _between(config.temperature, config.final_temperature, index, config)
        lr = config.optim.lr * _between(1.0, config.final_lr_frac, index, config)
        samples = _sample(practice, seen, temperature, rng)
        seen = _count(seen, samples, config.samples_per_problem)
        try:
            iteration = _update(practice, samples, temperature, lr, rng)
        except FloatingPointError as error:
            raise FloatingPointError(
                f"iteration {index + 1} of {config.num_iterations}: {error}; lower rl.optim.lr"
            ) from error
        history = history.add(iteration)
        _serve(practice)
        rows = rollout_table(samples, index)
        states.save(practice.learner, Progress(history, seen), rows)
        report.metrics(index + 1, iteration.curves())
        report.progress(
            index + 1,
            config.num_iterations,
            f"iter {index + 1}/{config.num_iterations} reward {iteration.reward:.2f} "
            f"len {iteration.length:.0f}",
        )
    report.plot("Reward by family", draw_rewards(history))
    report.plot("Length and budget", draw_length(history))
    return history


def _sample(
    practice: Practice, seen: Successes, temperature: float, rng: random.Random
) -> list[Sample]:
    config, num_samples = practice.config, practice.config.samples_per_problem
    chosen = choose_problems(
        practice.problems,
        seen,
        config.problems_per_iteration,
        config.priority_floor,
        config.min_success_rate,
        rng,
    )
    asked = [problem for problem in chosen for _ in range(num_samples)]
    samples = practice.play(asked, [rng.getrandbits(31) for _ in asked], temperature)
    return score(samples, practice.judge(samples), num_samples, config.over_budget_reward)


def _count(seen: Successes, samples: Sequence[Sample], num_samples: int) -> Successes:
    for start in range(0, len(samples), num_samples):
        group = samples[start : start + num_samples]
        seen = seen.add(group[0].problem, [float(s.passed) for s in group])
    return seen


def _update(
    practice: Practice,
    samples: Sequence[Sample],
    temperature: float,
    lr: float,
    rng: random.Random,
) -> Iteration:
    """K2's objective on the samples that teach something, with PTX mixed in."""
    config = practice.config
    useful = informative(samples, config.samples_per_problem)
    iteration = measure(samples, len(useful), temperature, lr)
    parts = split_updates(useful, config.samples_per_problem, config.updates_per_iteration)
    batches = [_batch(practice, part, rng) for part in parts]
    parity = None
    if config.old_logprobs == "trainer":
        gaps = [_recompute_old(practice.learner, batch) for batch in batches]
        parity = sum(gaps) / max(1, len(gaps))
    objective = partial(policy_objective, tau=config.tau)
    stats = [practice.learner.step(batch, lr, objective) for batch in batches]
    if stats and parity is None:
        # Before its first update the policy is pi_old: any gap is between the two engines.
        parity = stats[0].metrics["token_gap"]
    return with_updates(iteration, stats, parity or 0.0)


def _batch(practice: Practice, samples: Sequence[Sample], rng: random.Random) -> "Batch":
    config = practice.config
    rows = policy_rows(samples)
    if config.ptx_weight and practice.texts:
        count = min(config.ptx_dialogues, len(practice.texts))
        rows += text_rows(rng.sample(practice.texts, count), config.ptx_weight)
    return build_batch(rows, practice.pad_id, practice.num_ranks)


def _recompute_old(learner: Learner, batch: "Batch") -> float:
    """Replace the engine's log pi_old by the trainer's, in place; their mean gap a token."""
    old, policy = batch.extra["old_logprobs"], batch.extra["policy_share"] > 0
    own = learner.logprobs(batch) * batch.loss_mask
    counted = batch.loss_mask[policy].sum()
    gap = float((own - old)[policy].abs().sum() / counted)
    old.copy_(own)
    return gap


def _serve(practice: Practice) -> None:
    """Send the learner's weights to the engine, and hold its receipt against them."""
    weights = practice.learner.export_weights()
    served, expected = practice.served.update_weights(weights), tensors_digest(weights)
    if served != expected:
        raise RuntimeError(f"the engine serves {served} after an update with {expected}")


def _between(first: float, last: float, index: int, config: RlConfig) -> float:
    return first + (last - first) * index / max(1, config.num_iterations - 1)
