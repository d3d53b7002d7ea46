"""Sample, judge, update, serve: the iterations of reinforcement learning."""

import random

from k2core.reporting import Reporter
from k2core.rl.browse import lay_side_by_side
from k2core.rl.budget import TruncationError
from k2core.rl.clock import Clock
from k2core.rl.critic.plot import draw_agreement
from k2core.rl.examine import Examination, examine, is_alarming
from k2core.rl.history import History, Iteration, draw_length, draw_rewards
from k2core.rl.partial import sample_part
from k2core.rl.practice import Practice
from k2core.rl.sampling import Sampled, sample_groups
from k2core.rl.state import IterationStates, Progress, rollout_table
from k2core.rl.update import update_policy
from k2core.store import Workspace
from schemas.rl import RlConfig


def run_iterations(practice: Practice, workspace: Workspace) -> History:
    """All iterations; a killed run goes on after the last one that it completed.

    Raises:
        FloatingPointError: loss or gradient is not finite; names the iteration.
        TruncationError: too many samples of the next step would be cut off; what is done is kept
            for a run with a higher limit.
        FaultyError: too many problems were lost to something other than the policy.
        MismatchError: engine and trainer differ too much to learn from each other's log p.
    """
    config, report = practice.config, workspace.report
    states = IterationStates(workspace.states, workspace.scratch / "best")
    states.begin_with(workspace.kept, config.num_iterations)
    progress = states.resume(practice.learner)
    history = progress.history
    if history.iterations:
        _serve(practice)
    report.progress(len(history.iterations), config.num_iterations, "sampling")
    for index in range(len(history.iterations), config.num_iterations):
        rng = random.Random(f"{config.seed}/{index}")  # its own: resuming needs no other state
        temperature = _fall(config.temperature, config.final_temperature, index, config)
        lr = config.optim.lr * _fall(1.0, config.final_lr_frac, index, config)
        clock = Clock()
        validation = _validate(practice, states, history, index)
        clock.lap("validation")
        try:
            sampled = _sample(practice, progress, temperature, rng, clock, index)
        except TruncationError:
            if index:
                states.keep_for_later(workspace.kept, index)
            raise
        critic = practice.critic
        judged = critic.observe(sampled.samples, index) if critic else {}
        clock.lap("critic")
        practice.served.sleep()
        try:
            iteration = update_policy(practice, sampled.samples, temperature, lr, rng, index, clock)
        except FloatingPointError as error:
            raise FloatingPointError(
                f"iteration {index + 1} of {config.num_iterations}: {error}; lower rl.optim.lr"
            ) from error
        _serve(practice)
        clock.lap("sync")
        found = {
            "validation": validation,
            "dropped": dict(sampled.dropped),
            "predicted_truncated_frac": sampled.predicted_truncated,
            "critic": judged,
            "unfinished": len(sampled.buffer.starts),
        }
        iteration = iteration.model_copy(update=found)
        history = history.add(iteration)
        rows = rollout_table(sampled.samples, index, temperature)
        progress = Progress(history, progress.seen.add(sampled.seen), sampled.buffer)
        states.save(practice.learner, progress, rows)
        alarm = {"alarm": float(is_alarming(history.iterations))} if validation else {}
        report.metrics(index + 1, {**iteration.curves(), **alarm, **clock.curves()})
        report.progress(index + 1, config.num_iterations, _say(iteration, index, history, config))
    states.keep_for_later(workspace.kept, config.num_iterations)
    return _conclude(practice, states, history, report)


def _validate(
    practice: Practice, states: IterationStates, history: History, index: int
) -> Examination | None:
    """Examine the weights where it is due; keep them if none was better."""
    every = practice.config.validation_every
    if not every or index % every:
        return None
    found = _examine(practice)
    if found and found.is_as_good_as(history.validations):
        states.keep_best(practice.learner, index)
    return found


def _sample(
    practice: Practice,
    progress: Progress,
    temperature: float,
    rng: random.Random,
    clock: Clock,
    index: int,
) -> Sampled:
    """An iteration's samples, whole or in parts."""
    if practice.config.iteration_tokens is None:
        return sample_groups(practice, progress.seen, temperature, rng, clock, index)
    begun = progress.buffer
    return sample_part(practice, progress.seen, begun, temperature, rng, clock, index)


def _conclude(
    practice: Practice, states: IterationStates, history: History, report: Reporter
) -> History:
    """Examine the last weights, and draw what came of it all."""
    config = practice.config
    if config.validation_every:
        final = _examine(practice)
        history = history.model_copy(update={"final": final})
        if final:
            report.metrics(config.num_iterations + 1, {"validation": final.rate})
    report.table("Rollouts side by side", list(lay_side_by_side(list(states.rollouts))))
    report.plot("Reward by family", draw_rewards(history))
    report.plot("Length and budget", draw_length(history))
    if config.critic:
        report.plot("Critic and verifiers", draw_agreement([i.critic for i in history.iterations]))
    return history


def _say(iteration: Iteration, index: int, history: History, config: RlConfig) -> str:
    text = (
        f"iter {index + 1}/{config.num_iterations} reward {iteration.reward:.2f} "
        f"len {iteration.length:.0f}"
    )
    if examined := history.validations:
        text += f" validation {examined[-1].rate:.0%}"
    alarms = is_alarming(history.iterations)
    return f"{text} ALARM: reward rises, validation falls" if alarms else text


def _examine(practice: Practice) -> Examination | None:
    """The weights that are served now."""
    config = practice.config
    return examine(
        practice.validation,
        practice.play,
        practice.judge,
        config.validation_temperature,
        config.seed,
    )


def _serve(practice: Practice) -> None:
    """Send the learner's weights to the engines, which hold them against a receipt."""
    practice.learner.send_weights(practice.served.receive_weights, practice.served.peer)


def _fall(first: float, last: float, index: int, config: RlConfig) -> float:
    """Independent of how far the run goes, so that it can go further."""
    return first + (last - first) * min(1.0, index / max(1, config.decay_iterations - 1))
