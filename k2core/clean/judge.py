"""What can be said of documents alone, a whole batch at a time: everything but duplicates."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from k2core.clean.address import check_addresses
from k2core.clean.batch import TextBatch
from k2core.clean.checks import Check, Floats, first_failures, nearest, write_measures
from k2core.clean.classifier import RULE as CLASSIFIER
from k2core.clean.classifier import Scorer
from k2core.clean.code import CodeOrigin, check_code
from k2core.clean.contamination import HeldOutRuns
from k2core.clean.extract import extract_raw
from k2core.clean.form import normalise_all
from k2core.clean.language import check_language, choose_languages, cut_foreign
from k2core.clean.privacy import redact_all
from k2core.clean.prose import check_prose
from k2core.clean.quality import check_quality
from k2core.clean.repetition import check_repetition
from k2core.clean.sampling import NO_SCORE, score_documents
from k2core.clean.verdict import RuleVerdict
from schemas.clean import CleanConfig, DomainRules
from schemas.corpus import DocumentRow

_BATCH_CHARACTERS = 4_000_000
"""Texts looked at together: bounds memory at some 200 MB. No decision depends on it."""
_NOTHING = RuleVerdict("", "", 0.0, 0.0)


class Judged(NamedTuple):
    """A document's text as it would be kept, and what was found of it."""

    text: str
    dropped: bool
    verdict: RuleVerdict
    """The first rule against it; of a document to keep the rule that it came nearest to."""
    redactions: dict[str, int]
    measures: str
    """A JSON object: reason -> value."""
    quality_score: float
    """The classifier's; 0 where it does not score."""
    sampling_score: float
    """What sampling goes by; NO_SCORE without one."""


_EXCLUDED = Judged("", True, RuleVerdict("exclusion", "excluded", 1, 0), {}, "{}", 0.0, NO_SCORE)
"""Of its text nothing is left, not even among the rejects."""


class Checked(NamedTuple):
    """Texts as rules leave them, and every measure."""

    texts: pl.Series
    checks: list[Check]


def judge(
    rows: Sequence[DocumentRow],
    config: CleanConfig,
    held_out: HeldOutRuns,
    scorer: Scorer | None = None,
) -> Iterator[Judged]:
    """Extract, redact, then check rule after rule, in the documents' order."""
    excluded = frozenset(config.exclude)
    for batch in _split(rows):
        # Redacted before every check, so that a kept text passes a second cleaning unchanged.
        read = normalise_all([_read(row) for row in batch])
        texts, redactions = redact_all(pl.Series(read, dtype=pl.String))
        found: dict[int, Judged] = {}
        for (domain, language), places in _group(batch, texts, config).items():
            origins = [CodeOrigin(batch[place]["source"], batch[place]["path"]) for place in places]
            own = scorer if scorer and domain in scorer.domains else None
            rules = config.rules_for(domain)
            checked = check_texts(texts.gather(places), rules, config, origins, own, language)
            replaced = [redactions[place] for place in places]
            judged = _decide(checked, held_out, replaced, _score(checked, domain, config))
            found.update(zip(places, judged, strict=True))
        for place, row in enumerate(batch):
            yield _EXCLUDED if row["doc_id"] in excluded else found[place]


def _group(
    batch: Sequence[DocumentRow], texts: pl.Series, config: CleanConfig
) -> dict[tuple[str, str], list[int]]:
    """Places of documents that are held to the same rules: of a domain and a language."""
    groups: dict[tuple[str, str], list[int]] = {}
    languages = choose_languages(texts, config.languages)
    for place, (row, language) in enumerate(zip(batch, languages, strict=True)):
        groups.setdefault((row["domain"], language), []).append(place)
    return groups


def check_texts(
    texts: pl.Series,
    rules: DomainRules,
    config: CleanConfig,
    origins: Sequence[CodeOrigin] = (),
    scorer: Scorer | None = None,
    language: str = "",
) -> Checked:
    """A domain's rules in order, on its texts of a language; without origins those on texts alone.

    Args:
        texts: extracted and redacted.
        rules: the domain's.
        config: the stage's.
        origins: where the texts are from.
        scorer: the classifier, if it judges the domain.
        language: whose words and lengths count; by default the first that is asked for.
    """
    language = language or config.languages[0]
    checks, own = [], None
    if rules.language:
        own = cut_foreign(texts, config.languages, config.max_foreign_frac)
        texts = own.texts
    batch = TextBatch(texts, language)
    characters_N = batch.characters_N.astype(float)
    if config.urls and origins:
        checks += check_addresses([origin.path for origin in origins], config.urls)
    checks.append(Check("extraction", "no_text", characters_N, config.min_characters, floor=True))
    if own:
        checks.append(check_language(texts, config.languages, config.min_language_score))
        checks.append(own.check)
    if rules.code and origins:
        checks += check_code(batch, origins, rules.code)
    if rules.quality:
        checks += check_quality(batch, rules.quality)
    if rules.repetition:
        checks += check_repetition(batch, rules.repetition)
    if rules.c4 or rules.fineweb:
        prose = check_prose(batch, rules.c4, rules.fineweb)
        texts, checks = prose.texts, checks + prose.checks
    if scorer:
        checks.append(scorer.check(batch))
    return Checked(texts, checks)


def _score(checked: Checked, domain: str, config: CleanConfig) -> Floats:
    num = len(checked.texts)
    if config.sampling is None or domain not in config.sampling.domains:
        return np.full(num, NO_SCORE)
    return score_documents(checked.checks, num, config.sampling)


def _decide(
    checked: Checked, held_out: HeldOutRuns, redactions: Sequence[dict[str, int]], score_N: Floats
) -> Iterator[Judged]:
    num, checks = len(checked.texts), checked.checks
    failed_N, near_N = first_failures(checks, num), nearest(checks, num)
    decisive_N = np.where(failed_N >= 0, failed_N, near_N)
    quality_N = next((c.measured_N for c in checks if c.rule == CLASSIFIER), np.zeros(num))
    suspect_N = held_out.suspect(checked.texts) & (failed_N < 0)
    rows = zip(
        checked.texts.to_list(), failed_N >= 0, suspect_N, decisive_N, redactions,
        write_measures(checks, num), quality_N.tolist(), score_N.tolist(), strict=True,
    )  # fmt: skip
    for place, (text, failed, suspect, number, replaced, *found) in enumerate(rows):
        verdict = checks[number].verdict(place) if number >= 0 else _NOTHING
        leaked = held_out.check(text) if suspect else None
        yield Judged(text, bool(failed) or bool(leaked), leaked or verdict, replaced, *found)


def _read(row: DocumentRow) -> str:
    return extract_raw(row["text"]) if row["format"] == "html" else row["text"]


def _split(rows: Sequence[DocumentRow]) -> Iterator[list[DocumentRow]]:
    batch: list[DocumentRow] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row["text"])
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
