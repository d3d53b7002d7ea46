"""The updates of an iteration: the objective on its samples, with PTX mixed in."""

import random
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from k2core.rl.batches import TrainingRow, build_batch, policy_rows, text_rows
from k2core.rl.clock import Clock
from k2core.rl.history import Iteration, measure, with_updates
from k2core.rl.mismatch import Mismatch, check_mismatch, measure_mismatch, weigh_samples
from k2core.rl.objective import policy_loss
from k2core.rl.practice import Practice
from k2core.rl.samples import Sample, learnable, split_updates

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import Batch


def update_policy(
    practice: Practice,
    samples: Sequence[Sample],
    temperature: float,
    lr: float,
    rng: random.Random,
    index: int,
    clock: Clock,
) -> Iteration:
    """The objective, with PTX mixed in.

    Before its first update the policy is pi_old, and a sample of advantage 0 has no gradient: with
    one update those are left out of the batch, though not of E_x.
    """
    config = practice.config
    useful = learnable(samples)
    iteration = measure(samples, len(useful), temperature, lr)
    if config.updates_per_iteration == 1:
        parts, asked = ([useful] if useful else []), [len(samples)]
    else:
        parts = split_updates(samples, config.updates_per_iteration)
        asked = [len(part) for part in parts]
    batches = [
        _build(practice, policy_rows(part, count, temperature, practice.masks), rng)
        for part, count in zip(parts, asked, strict=False)
    ]
    found = _compare_engines(practice, batches, index)
    clock.lap("log-probabilities")
    objective = partial(policy_loss, rule=practice.rule)
    stats = [practice.learner.step(batch, lr, objective) for batch in batches]
    clock.lap("update")
    parity = found.mean if found else stats[0].metrics["token_gap"] if stats else 0.0
    figures = found._asdict() if found else {}
    return with_updates(iteration.model_copy(update={"mismatch": figures}), stats, parity)


def _compare_engines(practice: Practice, batches: "Sequence[Batch]", index: int) -> Mismatch | None:
    """Measure the engine's log pi_old against the trainer's; take the trainer's if asked to."""
    config = practice.config
    own_is_old = config.old_logprobs == "trainer"
    if not batches or not (own_is_old or index % config.mismatch_every == 0):
        return None
    first: Mismatch | None = None
    for batch in batches if own_is_old else batches[:1]:
        own = practice.learner.logprobs(batch) * batch.loss_mask
        first = first or measure_mismatch(batch, own)
        if own_is_old:
            weigh_samples(batch, own, config)
            batch.extra["old_logprobs"].copy_(own)
        elif not (config.staleness and index):  # else they differ by an update, too
            check_mismatch(first, batch, practice.rule, config.max_mismatch)
    return first


def _build(practice: Practice, rows: list[TrainingRow], rng: random.Random) -> "Batch":
    config = practice.config
    if config.ptx_weight and practice.texts:
        count = min(config.ptx_dialogues, len(practice.texts))
        rows = rows + text_rows(rng.sample(practice.texts, count), config.ptx_weight)
    if practice.critic:
        rows = rows + practice.critic.rows()
    return build_batch(rows, practice.pad_id, practice.num_ranks)
