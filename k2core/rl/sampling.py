"""An iteration's samples: problems chosen, played, judged, and replaced if they teach nothing."""

import random
from collections import Counter
from typing import NamedTuple

from k2core.rl.budget import check_truncation, learned_budgets, length_weight, with_budgets
from k2core.rl.buffer import Buffer
from k2core.rl.clock import Clock
from k2core.rl.critic import GUARDED
from k2core.rl.practice import Practice
from k2core.rl.priority import SeenProblem, Successes, choose_problems
from k2core.rl.samples import Sample, groups_of, learnable, penalties_of, score
from schemas.rubrics import RUBRIC


class FaultyError(RuntimeError):
    """Too many problems were lost to environments, judges or engines; says to which faults."""


class IterationSamples(NamedTuple):
    """What an iteration has to learn from."""

    samples: list[Sample]
    """Judged; a problem's K samples together."""
    dropped: Counter[str]
    """Reason -> problems that were left out."""

    predicted_truncated: float = 0.0
    """Share of the first round's samples that was expected to be cut off."""
    buffer: Buffer = Buffer()
    """What is unfinished."""

    @property
    def seen(self) -> list[SeenProblem]:
        """What became of each problem; of none that only a critic judges."""
        return [
            SeenProblem(
                group[0].problem,
                [float(s.passed) for s in group],
                [s.dialogue.is_truncated for s in group],
                [s.dialogue.num_tokens for s in group if s.passed],
                [s.dialogue.num_tokens for s in group],
            )
            for group in groups_of(self.samples)
            if group[0].problem.verifier != RUBRIC
        ]


def sample_groups(
    practice: Practice,
    seen: Successes,
    temperature: float,
    rng: random.Random,
    clock: Clock,
    index: int = 0,
) -> IterationSamples:
    """K samples of each of an iteration's problems.

    With `refill_rounds`, problems whose samples all earned alike are followed by others until
    there are enough that teach something (dynamic sampling, arXiv:2503.14476, section 3.2).

    Raises:
        FaultyError: more problems were lost than `max_faulty_frac` allows.
        TruncationError: more samples would be cut off than `max_truncated_frac` allows.
    """
    config = practice.config
    penalties = penalties_of(config.over_budget_reward, config.malformed_reward)
    pool, missing, num_asked = list(practice.problems), config.problems_per_iteration, 0
    kept, dropped = list[Sample](), Counter[str]()
    practice.usages.clear()  # of validations
    budgets, predicted = learned_budgets(seen, config, index), 0.0
    for attempt in range(1 + config.refill_rounds):
        chosen = choose_problems(
            pool, seen, missing, config.priority_floor, config.min_success_rate, rng
        )
        taken = {problem.problem_id for problem in chosen}
        pool = [problem for problem in pool if problem.problem_id not in taken]
        num_asked += len(chosen)
        chosen = with_budgets(chosen, budgets)
        if not attempt:
            predicted = check_truncation(chosen, seen, budgets, config.max_truncated_frac)
        rows = [problem for problem in chosen for _ in range(config.samples_per_problem)]
        samples = practice.play(rows, [rng.getrandbits(31) for _ in rows], temperature)
        clock.lap("rollout")
        verdicts = practice.judge(samples)
        found = score(
            samples,
            verdicts,
            penalties,
            practice.rule.advantages,
            length_weight(config, index),
        )
        clock.lap("reward")
        kept, dropped = kept + found.samples, dropped + found.dropped
        useful = len(groups_of(learnable(kept)))
        missing = min(config.problems_per_iteration - useful, len(pool))
        if not missing:
            break
    clock.count(practice.usages)
    check_dropped(dropped, num_asked, config.max_faulty_frac)
    return IterationSamples(kept, dropped, predicted)


def check_dropped(dropped: Counter[str], num_asked: int, limit: float) -> None:
    """Raise a `FaultyError` where more than a share of the problems were lost."""
    dropped = Counter({r: n for r, n in dropped.items() if not r.startswith(GUARDED)})
    lost = sum(dropped.values())
    if lost > limit * num_asked:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in dropped.most_common(3))
        raise FaultyError(
            f"{lost} of {num_asked} problems were lost, more than rl.max_faulty_frac={limit} "
            f"allows: {reasons}"
        )
