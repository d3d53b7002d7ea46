"""What can be said of one document alone: everything but its duplicates."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from k2core.clean.contamination import HeldOut
from k2core.clean.extract import extract_text, normalise
from k2core.clean.language import check_language
from k2core.clean.privacy import redact
from k2core.clean.quality import check_quality
from k2core.clean.repetition import check_repetition
from k2core.clean.verdict import Verdict
from schemas.clean import CleanConfig


class Judged(NamedTuple):
    """A document's text as it would be kept, and the first rule against it."""

    text: str
    verdict: Verdict | None
    redactions: dict[str, int]


def judge(row: Mapping[str, Any], config: CleanConfig, held_out: HeldOut) -> Judged:
    """Extract, redact, then check rule after rule; duplicates are seen to later."""
    text = extract_text(row["text"]) if row["format"] == "html" else normalise(row["text"])
    # Before every check, so that a kept text passes a second cleaning unchanged.
    text, redactions = redact(text)
    return Judged(text, _check(text, row["domain"], config, held_out), redactions)


def _check(text: str, domain: str, config: CleanConfig, held_out: HeldOut) -> Verdict | None:
    rules = config.rules_for(domain)
    if len(text) < config.min_characters:
        return Verdict("extraction", "no_text", len(text), config.min_characters)
    verdict = None
    if rules.language:
        verdict = check_language(text, config.language, config.min_language_score)
    if not verdict and rules.quality:
        verdict = check_quality(text, rules.quality)
    if not verdict and rules.repetition:
        verdict = check_repetition(text, rules.repetition)
    return verdict or held_out.check(text)
