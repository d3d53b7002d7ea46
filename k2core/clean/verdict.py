"""Why a document was dropped."""

from typing import NamedTuple


class RuleVerdict(NamedTuple):
    """One rule against a document. A rule that keeps it returns None instead."""

    rule: str
    reason: str
    measured: float
    threshold: float


class Twin(NamedTuple):
    """Why a document was dropped as a duplicate, and of which one."""

    verdict: RuleVerdict
    kept_id: str
    """`doc_id` of the one before it."""


VERSIONS = {
    "exclusion": "1",
    "url": "1",
    "extraction": "3",
    "language": "1",
    "paragraphs": "1",
    "code": "1",
    "gopher_quality": "3",
    "gopher_repetition": "3",
    "c4": "2",
    "fineweb": "2",
    "classifier": "1",
    "decontamination": "1",
    "deduplication": "3",
    "sampling": "1",
}
"""Rules in the order in which they run -> version: raise it when a rule judges differently."""
