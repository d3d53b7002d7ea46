"""One iteration: samples, an update on them, and the new weights served."""

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from k2core.rl.ahead import Lag, beside, measure_lag
from k2core.rl.budget import TruncationError
from k2core.rl.clock import Clock
from k2core.rl.examine import ValidationRates
from k2core.rl.history import Iteration
from k2core.rl.partial import sample_part
from k2core.rl.practice import Practice
from k2core.rl.samples import Sample
from k2core.rl.sampling import FaultyError, IterationSamples, sample_groups
from k2core.rl.state import LoopState
from k2core.rl.update import update_policy
from schemas.rl import RlConfig


class Iterated(NamedTuple):
    """What came of an iteration."""

    samples: list[Sample]
    progress: LoopState
    """Its figures are the last of its history."""


def iterate(
    practice: Practice,
    progress: LoopState,
    validation: ValidationRates | None,
    index: int,
    clock: Clock,
) -> Iterated:
    """Sample, or take what was sampled beside the last update; learn from it; serve the weights.

    Raises:
        FloatingPointError: loss or gradient is not finite; names the iteration.
        StaleError: samples are older than the config allows.
    """
    config = practice.config
    rng = random.Random(f"{config.seed}/{index}")  # its own: resuming needs no other state
    sampled = progress.ahead or _sample(practice, progress, rng, index, clock)
    lag = measure_lag(sampled.samples, progress.served, config.staleness)
    judged = practice.critic.observe(sampled.samples, index) if practice.critic else {}
    clock.lap("critic")
    seen = progress.seen.add(sampled.seen)
    progress = progress._replace(seen=seen, buffer=sampled.buffer, ahead=None)
    practice.expect(seen)
    if config.staleness:
        with beside(partial(_sample_ahead, practice, progress, index + 1)) as take:
            # Samples may be of a state: what they were drawn by is then no longer known.
            updating = random.Random(f"{config.seed}/{index}/update")
            iteration = _update(practice, sampled.samples, updating, index, clock)
            ahead = _take(take, wanted=index + 1 < config.num_iterations)
        clock.lap("samples")
        clock.join(ahead.clock)
        progress = progress._replace(ahead=ahead.samples)
    else:
        practice.served.sleep()
        iteration = _update(practice, sampled.samples, rng, index, clock)
    progress = progress._replace(served=(*progress.served, serve(practice)))
    clock.lap("sync")
    iteration = _complete(iteration, sampled, validation, judged, lag)
    return Iterated(sampled.samples, progress._replace(history=progress.history.add(iteration)))


def serve(practice: Practice) -> str:
    """Send the learner's weights to the engines; returns the receipt that they held them to."""
    return practice.learner.send_weights(practice.served.receive_weights, practice.served.peer)


def temperature_of(config: RlConfig, index: int) -> float:
    """What an iteration samples at."""
    return _fall(config.temperature, config.final_temperature, index, config)


def _sample(
    practice: Practice, progress: LoopState, rng: random.Random, index: int, clock: Clock
) -> IterationSamples:
    """An iteration's samples, whole or in parts."""
    temperature = temperature_of(practice.config, index)
    if practice.config.iteration_tokens is None:
        return sample_groups(practice, progress.seen, temperature, rng, clock, index)
    begun = progress.buffer
    return sample_part(practice, progress.seen, begun, temperature, rng, clock, index)


class _Ahead(NamedTuple):
    """What was sampled beside an update, and the seconds that it took."""

    samples: IterationSamples | None
    clock: Clock


def _sample_ahead(practice: Practice, progress: LoopState, index: int) -> _Ahead:
    rng, clock = random.Random(f"{practice.config.seed}/{index}"), Clock()
    return _Ahead(_sample(practice, progress, rng, index, clock), clock)


def _take(take: Callable[[], _Ahead], *, wanted: bool) -> _Ahead:
    """Beyond the last iteration nobody is stopped by what a longer run would meet again."""
    try:
        return take()
    except (FaultyError, TruncationError):
        if wanted:
            raise
        return _Ahead(None, Clock())


def _update(
    practice: Practice, samples: list[Sample], rng: random.Random, index: int, clock: Clock
) -> Iteration:
    config = practice.config
    temperature = temperature_of(config, index)
    lr = config.optim.lr * _fall(1.0, config.final_lr_frac, index, config)
    try:
        return update_policy(practice, samples, temperature, lr, rng, index, clock)
    except FloatingPointError as error:
        raise FloatingPointError(
            f"iteration {index + 1} of {config.num_iterations}: {error}; lower rl.optim.lr"
        ) from error


def _complete(
    iteration: Iteration,
    sampled: IterationSamples,
    validation: ValidationRates | None,
    judged: Mapping[str, float],
    lag: Lag,
) -> Iteration:
    """With what came before its updates."""
    return iteration.model_copy(
        update={
            "validation": validation,
            "dropped": dict(sampled.dropped),
            "predicted_truncated_frac": sampled.predicted_truncated,
            "critic": judged,
            "unfinished": len(sampled.buffer.starts),
            "lag_mean": lag.mean,
            "lag_max": lag.largest,
        }
    )


def _fall(first: float, last: float, index: int, config: RlConfig) -> float:
    """Independent of how far the run goes, so that it can go further."""
    return first + (last - first) * min(1.0, index / max(1, config.decay_iterations - 1))
