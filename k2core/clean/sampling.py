"""Up- and down-sampling by several scores, as in Kimi k1.5 (arXiv:2501.12599, appendix B).

No document's copies depend on the others: whether it stays is drawn by its id, so a part of the
corpus is sampled as in the whole, and what was kept is kept again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from k2core.clean.checks import Check, Floats
from k2core.clean.code import ending_of
from k2core.clean.draws import draw
from k2core.clean.verdict import RuleVerdict
from schemas.corpus import DocumentRow
from schemas.selection import Sampling

RULE = "sampling"
NO_SCORE = -1.0
_OTHERS = frozenset({"url", "extraction", "language", "paragraphs", "classifier"})
"""Rules whose nearness says nothing of a text's form, or that are scorers themselves."""


class Sampled(NamedTuple):
    """How often a document is wanted."""

    verdict: RuleVerdict | None
    """Why it goes, if it does."""
    weight: float
    """Copies in the mixture, at least 1; 0 if it goes."""


def score_documents(checks: Sequence[Check], num: int, rules: Sampling) -> Floats:
    """The weighted mean of what scores each of N documents has, to six decimals; or NO_SCORE."""
    found = {
        "classifier": [check.measured_N for check in checks if check.rule == "classifier"],
        "language": [check.measured_N for check in checks if check.rule == "language"],
        "rules": [_margin(checks)] if any(c.rule not in _OTHERS for c in checks) else [],
    }
    total_N, weight_N = np.zeros(num), np.zeros(num)
    for name, weight in rules.scorers.items():
        for each_N in found[name]:
            total_N += weight * np.nan_to_num(each_N)
            weight_N += weight * ~np.isnan(each_N)
    mean_N = np.divide(total_N, weight_N, out=np.full(num, NO_SCORE), where=weight_N > 0)
    rounded_N: Floats = mean_N.round(6)
    return rounded_N


def _margin(checks: Sequence[Check]) -> Floats:
    """One minus the mean of how near the rules came; those that do not apply are left out."""
    near_CN = np.array([check.nearness_N for check in checks if check.rule not in _OTHERS])
    there_CN = ~np.isnan(near_CN)
    sum_N = np.where(there_CN, np.clip(near_CN, 0, 1), 0).sum(axis=0)
    count_N = there_CN.sum(axis=0)
    mean_N = np.divide(sum_N, count_N, out=np.full(len(sum_N), np.nan), where=count_N > 0)
    margin_N: Floats = 1 - mean_N
    return margin_N


def count_copies(score: float, path: str, rules: Sampling) -> float:
    """How often a document of this score is wanted; one without a score as often as its ending."""
    return rules.endings.get(ending_of(path), 1.0) * _follow(score, rules)


def sample_document(row: DocumentRow, score: float, rules: Sampling | None) -> Sampled:
    """Whether the document stays, and how often it is read.

    A document that goes for its score measures the score, against the least that would have kept
    it; one that no score would have kept measures its ending's copies against the draw.
    """
    if rules is None or row["domain"] not in rules.domains:
        return Sampled(None, 1.0)
    copies = count_copies(score, row["path"], rules)
    drawn = draw(rules.seed, RULE, row["doc_id"])
    if copies > drawn:
        return Sampled(None, max(1.0, round(copies, 6)))
    factor = rules.endings.get(ending_of(row["path"]), 1.0)
    points, heights = zip(*rules.curve, strict=True)
    if score == NO_SCORE or heights[-1] * factor <= drawn:
        return Sampled(RuleVerdict(RULE, "down_sampled_ending", copies, drawn), 0.0)
    least = float(np.interp(drawn / factor, heights, points))
    return Sampled(RuleVerdict(RULE, "down_sampled_score", score, least), 0.0)


def _follow(score: float, rules: Sampling) -> float:
    if score == NO_SCORE:
        return 1.0
    points, heights = zip(*rules.curve, strict=True)
    return float(np.interp(score, points, heights))
