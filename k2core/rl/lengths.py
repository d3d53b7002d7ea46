"""What long answers cost (arXiv:2501.12599, section 2.3.3)."""

from collections.abc import Sequence


def length_rewards(lengths: Sequence[int], passed: Sequence[bool], weight: float) -> list[float]:
    """What each of a problem's samples earns for its length.

    lambda = 0.5 - (len - min_len) / (max_len - min_len): all of it for a sample that passed, at
    most 0 for another, and nothing where all are equally long.
    """
    shortest, longest = min(lengths), max(lengths)
    if shortest == longest:
        return [0.0] * len(lengths)
    shares = [0.5 - (length - shortest) / (longest - shortest) for length in lengths]
    return [
        weight * (share if good else min(0.0, share))
        for share, good in zip(shares, passed, strict=True)
    ]
