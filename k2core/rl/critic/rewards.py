"""The joint reward: verifiable problems by their verifiers, all others by win rates."""

from collections import Counter
from collections.abc import Sequence

from k2core.critic import Rubric
from k2core.rewards import Verdict
from k2core.rl.critic.contest import GUARDED, Contest, open_contest
from k2core.rl.critic.judge import Prefer
from k2core.rl.samples import Judge, Sample
from schemas.rubrics import RUBRIC, CriticConfig

__all__ = ["GUARDED", "CriticJudge"]


class CriticJudge:
    """Verdicts of samples, a problem's together; `rubric` alone judges one that has no others.

    Args:
        config: of the critic.
        rubric: all criteria.
        prefer: the critic.
        verify: verdicts by verifiers.
        seed: of comparisons and decoys.
    """

    def __init__(
        self, config: CriticConfig, rubric: Rubric, prefer: Prefer, verify: Judge, seed: int
    ) -> None:
        self._config, self._rubric, self._seed = config, rubric, seed
        self._prefer, self._verify = prefer, verify
        self._counts = Counter[str]()

    def __call__(self, samples: Sequence[Sample]) -> list[Verdict]:
        """Judge all, every comparison in one batch."""
        verdicts = self._verify(samples)
        contests = list[tuple[slice, Contest]]()
        for part in _groups(samples):
            if any(verdict.is_faulty for verdict in verdicts[part]):
                continue  # left out whole
            opened = open_contest(
                samples[part], verdicts[part], self._rubric, self._config, self._seed
            )
            contests.append((part, opened))
        said = self._prefer([shown for _, contest in contests for shown in contest.asked])
        for part, contest in contests:
            count = len(contest.asked)
            mine, said = said[:count], said[count:]
            self._counts["groups"] += 1
            self._counts["broken"] += part.stop - part.start - len(contest.sound)
            verdicts[part] = contest.decide(mine, self._config.margin, self._counts)
        return verdicts

    def take_counts(self) -> dict[str, float]:
        """What happened since the last call, as shares of groups or of comparisons."""
        counts, self._counts = self._counts, Counter[str]()
        if not counts["groups"]:
            return {}
        compared = sum(counts[kind] for kind in ("decided", "tie", "disagreement", "silent"))
        shares = {k: counts[k] / max(1, compared) for k in ("tie", "disagreement", "silent")}
        return {
            "groups": float(counts["groups"]),
            "comparisons": float(compared),
            "guarded_frac": counts["guarded"] / counts["groups"],
            "rules_broken": float(counts["broken"]),
            **{f"{kind}_frac": share for kind, share in shares.items()},
        }


def _groups(samples: Sequence[Sample]) -> list[slice]:
    """Neighbours of one problem that no verifier judges, where there are at least two."""
    parts, start = list[slice](), 0
    for end in range(1, len(samples) + 1):
        first = samples[start].problem
        if end == len(samples) or samples[end].problem.problem_id != first.problem_id:
            if first.verifier == RUBRIC and end - start > 1:
                parts.append(slice(start, end))
            start = end
    return parts
