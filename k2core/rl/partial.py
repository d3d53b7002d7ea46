"""Partial rollout: what takes long goes on in the next iteration (arXiv:2501.12599, 2.6.2).

No iteration waits for its longest dialogues. What a dialogue said under earlier weights is context
for it and no more: only the tokens of the current iteration are learned from, which are on-policy.
Our own: samples are learned from when they end, against the mean of their problem's that have ended
by then, not when the last of the K has.
"""

import random
from collections import Counter, defaultdict
from typing import NamedTuple

from k2core.agents import Start
from k2core.rl.budget import check_truncation, learned_budgets, length_weight, with_budgets
from k2core.rl.buffer import Buffer
from k2core.rl.clock import Clock
from k2core.rl.practice import Practice
from k2core.rl.priority import Successes, choose_problems
from k2core.rl.samples import Known, Sample, as_known, penalties_of, score
from k2core.rl.sampling import IterationSamples, check_dropped


def sample_part(
    practice: Practice,
    seen: Successes,
    buffer: Buffer,
    temperature: float,
    rng: random.Random,
    clock: Clock,
    index: int,
) -> IterationSamples:
    """Go on with what was begun, begin as many dialogues as there is room for, and stop in time.

    Raises:
        FaultyError: more problems were lost than `max_faulty_frac` allows.
        TruncationError: more samples would be cut off than `max_truncated_frac` allows.
    """
    config = practice.config
    starts, predicted = _choose(practice, seen, buffer, rng, index)
    practice.usages.clear()  # of validations
    done, left = _play(practice, starts, temperature)
    clock.lap("rollout")
    verdicts = practice.judge(done)
    penalties = penalties_of(config.over_budget_reward, config.malformed_reward)
    weight = length_weight(config, index)
    scored = score(done, verdicts, penalties, practice.rule.advantages, weight, buffer.known)
    clock.lap("reward")
    clock.count(practice.usages)
    names = {sample.problem.problem_id for sample in done}
    check_dropped(scored.dropped, len(names), config.max_faulty_frac)
    earned = defaultdict[str, list[Known]](list)
    for sample, verdict in zip(done, verdicts, strict=True):
        earned[sample.problem.problem_id].append(as_known(sample, verdict, penalties))
    lost = names - {sample.problem.problem_id for sample in scored.samples}
    return IterationSamples(
        scored.samples, Counter(scored.dropped), predicted, buffer.after(left, earned, lost)
    )


class _Chosen(NamedTuple):
    starts: list[Start]
    predicted_truncated: float


def _choose(
    practice: Practice, seen: Successes, buffer: Buffer, rng: random.Random, index: int
) -> _Chosen:
    """What was begun first, then as many new problems as keep the number of dialogues."""
    config, carried = practice.config, buffer.starts
    num_samples = config.samples_per_problem
    pool = [p for p in practice.problems if p.problem_id not in buffer.known]
    room = config.problems_per_iteration - -(-len(carried) // num_samples)
    chosen = choose_problems(
        pool,
        seen,
        min(max(0, room), len(pool)),
        config.priority_floor,
        config.min_success_rate,
        rng,
    )
    budgets = learned_budgets(seen, config, index)
    chosen = with_budgets(chosen, budgets)
    predicted = check_truncation(chosen, seen, budgets, config.max_truncated_frac)
    new = [Start(p, rng.getrandbits(31)) for p in chosen for _ in range(num_samples)]
    return _Chosen(carried + new, predicted)


class _Played(NamedTuple):
    done: list[Sample]
    left: list[Start]


def _play(practice: Practice, starts: list[Start], temperature: float) -> _Played:
    """Parts until something has ended; nearly always one."""
    done: list[Sample] = []
    most = practice.config.iteration_tokens
    assert practice.play_part is not None
    assert most is not None
    while starts and not done:
        played = practice.play_part(starts, temperature, most)
        done = [found for found in played if isinstance(found, Sample)]
        starts = [found for found in played if isinstance(found, Start)]
    return _Played(done, starts)
