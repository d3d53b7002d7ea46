"""An iteration's samples: problems chosen, played, judged, and replaced if they teach nothing."""

import random
from collections import Counter
from typing import NamedTuple

from k2core.rl.clock import Clock
from k2core.rl.critic import GUARDED
from k2core.rl.practice import Practice
from k2core.rl.priority import Successes, choose_problems
from k2core.rl.samples import Sample, groups_of, learnable, penalties_of, score
from schemas.chat import Problem
from schemas.rubrics import RUBRIC


class FaultyError(RuntimeError):
    """Too many problems were lost to environments, judges or engines; says to which faults."""


class Sampled(NamedTuple):
    """What an iteration has to learn from."""

    samples: list[Sample]
    """Judged; a problem's K samples together."""
    dropped: Counter[str]
    """Reason -> problems that were left out."""

    @property
    def passed(self) -> list[tuple[Problem, list[float]]]:
        """Each problem with 1 or 0 for each of its samples; none that only a critic judges."""
        found: dict[str, tuple[Problem, list[float]]] = {}
        for sample in self.samples:
            if sample.problem.verifier == RUBRIC:
                continue
            _, passed = found.setdefault(sample.problem.problem_id, (sample.problem, []))
            passed.append(float(sample.passed))
        return list(found.values())


def sample_groups(
    practice: Practice, seen: Successes, temperature: float, rng: random.Random, clock: Clock
) -> Sampled:
    """K samples of each of an iteration's problems.

    With `refill_rounds`, problems whose samples all earned alike are followed by others until
    there are enough that teach something (dynamic sampling, arXiv:2503.14476, section 3.2).

    Raises:
        FaultyError: more problems were lost than `max_faulty_frac` allows.
    """
    config, num_samples = practice.config, practice.config.samples_per_problem
    penalties = penalties_of(config.over_budget_reward, config.malformed_reward)
    pool, missing, num_asked = list(practice.problems), config.problems_per_iteration, 0
    kept, dropped = list[Sample](), Counter[str]()
    for _ in range(1 + config.refill_rounds):
        chosen = choose_problems(
            pool, seen, missing, config.priority_floor, config.min_success_rate, rng
        )
        taken = {problem.problem_id for problem in chosen}
        pool = [problem for problem in pool if problem.problem_id not in taken]
        num_asked += len(chosen)
        rows = [problem for problem in chosen for _ in range(num_samples)]
        samples = practice.play(rows, [rng.getrandbits(31) for _ in rows], temperature)
        clock.lap("rollout")
        verdicts = practice.judge(samples)
        found = score(samples, verdicts, num_samples, penalties, practice.rule.advantages)
        clock.lap("reward")
        kept, dropped = kept + found.samples, dropped + found.dropped
        useful = len(groups_of(learnable(kept, num_samples), num_samples))
        missing = min(config.problems_per_iteration - useful, len(pool))
        if not missing:
            break
    _check_dropped(dropped, num_asked, config.max_faulty_frac)
    return Sampled(kept, dropped)


def _check_dropped(dropped: Counter[str], num_asked: int, limit: float) -> None:
    dropped = Counter({r: n for r, n in dropped.items() if not r.startswith(GUARDED)})
    lost = sum(dropped.values())
    if lost > limit * num_asked:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in dropped.most_common(3))
        raise FaultyError(
            f"{lost} of {num_asked} problems were lost, more than rl.max_faulty_frac={limit} "
            f"allows: {reasons}"
        )
