"""Sample, judge, update, serve: the iterations of reinforcement learning."""

from k2core.reporting import Reporter
from k2core.rl.browse import lay_side_by_side
from k2core.rl.budget import TruncationError
from k2core.rl.clock import Clock
from k2core.rl.critic.plot import draw_agreement
from k2core.rl.examine import ValidationRates, examine, is_alarming
from k2core.rl.history import History, Iteration, draw_length, draw_rewards
from k2core.rl.iteration import iterate, serve, temperature_of
from k2core.rl.practice import Practice
from k2core.rl.state import IterationStates, rollout_table
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
        StaleError: samples are older than `staleness` allows.
    """
    config, report = practice.config, workspace.report
    states = IterationStates(workspace.states, workspace.scratch / "best")
    states.begin_with(workspace.kept, config.num_iterations)
    progress = states.resume(practice.learner)
    practice.expect(progress.seen)
    served = serve(practice) if progress.served else practice.served.weights
    progress = progress._replace(served=(*progress.served[:-1], served))
    report.progress(len(progress.history.iterations), config.num_iterations, "sampling")
    for index in range(len(progress.history.iterations), config.num_iterations):
        clock = Clock()
        validation = _validate(practice, states, progress.history, index)
        clock.lap("validation")
        try:
            samples, progress = iterate(practice, progress, validation, index, clock)
        except TruncationError:
            if index:
                states.keep_for_later(workspace.kept, index)
            raise
        history = progress.history
        rows = rollout_table(samples, index, temperature_of(config, index))
        states.save(practice.learner, progress, rows)
        clock.lap("save")
        iteration = history.iterations[-1]
        alarm = {"alarm": float(is_alarming(history.iterations))} if validation else {}
        report.metrics(index + 1, {**iteration.curves(), **alarm, **clock.curves()})
        report.progress(index + 1, config.num_iterations, _say(iteration, index, history, config))
    states.keep_for_later(workspace.kept, config.num_iterations)
    return _conclude(practice, states, progress.history, report)


def _validate(
    practice: Practice, states: IterationStates, history: History, index: int
) -> ValidationRates | None:
    """Examine the weights where it is due; keep them if none was better."""
    every = practice.config.validation_every
    if not every or index % every:
        return None
    found = _examine(practice)
    if found and found.is_as_good_as(history.validations):
        states.keep_best(practice.learner, index)
    return found


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
    if iteration.lag_max:
        text += f" lag {iteration.lag_mean:.1f}"
    if examined := history.validations:
        text += f" validation {examined[-1].rate:.0%}"
    alarms = is_alarming(history.iterations)
    return f"{text} ALARM: reward rises, validation falls" if alarms else text


def _examine(practice: Practice) -> ValidationRates | None:
    """The weights that are served now."""
    config = practice.config
    return examine(
        practice.validation,
        practice.play,
        practice.judge,
        config.validation_temperature,
        config.seed,
    )
