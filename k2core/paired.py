"""Two models before the same problems: what was won and lost, and whether that can be chance."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from schemas.evaluate import Change


def pair(earlier: Mapping[str, Sequence[bool]], later: Mapping[str, Sequence[bool]]) -> Change:
    """Compare two models on the problems that both answered.

    The p value is two-sided, of the exact sign-flip test on the difference of each problem's
    passes; with one sample a problem that is McNemar's exact test (Psychometrika 12, 1947, p. 153).

    Args:
        earlier: problem -> whether each of its samples passed.
        later: the same of the other; samples beyond the fewer of both are left out.
    """
    differences, samples = [], 0
    for problem in sorted(earlier.keys() & later.keys()):
        before, after = list(earlier[problem]), list(later[problem])
        count = min(len(before), len(after))
        differences.append(sum(after[:count]) - sum(before[:count]))
        samples += count
    return Change(
        gained=sum(d for d in differences if d > 0),
        lost=-sum(d for d in differences if d < 0),
        total=samples,
        p_value=sign_flip(differences),
    )


def sign_flip(differences: Sequence[int]) -> float:
    """Probability of a sum at least as far from 0 if each difference's sign were a fair coin's.

    Exact: the distribution of the sum is made by convolution, in whole numbers.
    """
    chances: dict[int, int] = {0: 1}
    for size in (abs(d) for d in differences if d):
        following: dict[int, int] = defaultdict(int)
        for total, ways in chances.items():
            following[total + size] += ways
            following[total - size] += ways
        chances = following
    far = abs(sum(differences))
    extreme = sum(ways for total, ways in chances.items() if abs(total) >= far)
    return extreme / sum(chances.values())


def correct(changes: Mapping[str, Change]) -> dict[str, Change]:
    """Each with its p value corrected for their number (Holm, Scand. J. Stat. 6, 1979, p. 65)."""
    ordered = sorted(changes, key=lambda name: changes[name].p_value)
    corrected, least = dict(changes), 0.0
    for rank, name in enumerate(ordered):
        least = min(1.0, max(least, changes[name].p_value * (len(ordered) - rank)))
        corrected[name] = changes[name].model_copy(update={"p_corrected": least})
    return corrected


def pass_at(passed: Mapping[str, Sequence[bool]], k: int) -> float:
    """Share of problems that one of k samples solves (pass@k, arXiv:2107.03374, eq. 1)."""
    return _mean([1 - _miss(len(s) - sum(s), len(s), k) for s in passed.values() if len(s) >= k])


def pass_hat(passed: Mapping[str, Sequence[bool]], k: int) -> float:
    """Share of problems that all of k samples solve (pass^k, arXiv:2406.12045, section 4)."""
    return _mean([_miss(sum(s), len(s), k) for s in passed.values() if len(s) >= k])


def _miss(of_kind: int, total: int, k: int) -> float:
    """Chance that k drawn of `total` without return are all of the kind."""
    chance = 1.0
    for index in range(k):
        chance *= max(0, of_kind - index) / (total - index)
    return chance


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
