"""The rule of faults: a dialogue that breaks is counted and left out, too many end the run."""

from collections import Counter
from collections.abc import Sequence

_FEW = 10
"""So many are let pass whatever their share, unless nothing else is left."""


class TooManyFaultsError(RuntimeError):
    """More dialogues broke than a run may leave out; says how many, why, and which rule."""


def check_faults(reasons: Sequence[str], total: int, max_frac: float, rule: str) -> None:
    """Hold the faults so far against the rule.

    Args:
        reasons: of the faulty dialogues.
        total: dialogues so far.
        max_frac: share of them that may be faulty.
        rule: the config's field that says so.

    Raises:
        TooManyFaultsError: they are more.
    """
    many = len(reasons) > max_frac * total and len(reasons) >= _FEW
    if many or (reasons and len(reasons) == total):
        reason, count = Counter(reasons).most_common(1)[0]
        raise TooManyFaultsError(
            f"{len(reasons)} of {total} dialogues are faulty, more than {rule}={max_frac:g} "
            f"allows; {count} by: {reason}"
        )
