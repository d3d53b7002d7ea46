"""Why a document was dropped."""

from typing import NamedTuple


class Verdict(NamedTuple):
    """One rule against a document. A rule that keeps it returns None instead."""

    rule: str
    reason: str
    measured: float
    threshold: float
