"""From answers to scores: rates with intervals, what changed, and why answers failed."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import polars as pl

from k2core.evaluate.conditions import PLAIN, cut_off, passes, score_variants, valid_calls
from k2core.paired import correct, pair, pass_at, pass_hat
from k2core.rates import clustered_rate
from schemas.base import Artifact
from schemas.evaluate import CHECKPOINTS, Change, Overlaps, Perplexity, Rate, Scores
from schemas.problems import FAMILY_GROUPS

ALL = "all"
"""The word for all families together."""


def score(
    answers: Mapping[str, pl.DataFrame],
    checkpoints: Mapping[str, Artifact],
    perplexity: dict[str, dict[str, Perplexity]],
    choices: dict[str, dict[str, Rate]],
    overlaps: Overlaps,
    temperature: float,
) -> Scores:
    """Everything that an evaluation says of its checkpoints; conditions are scored apart.

    Args:
        answers: checkpoint -> its `AnswerRow`s.
        checkpoints: what was graded.
        perplexity: domain -> checkpoint -> perplexity.
        choices: log-likelihood task -> checkpoint -> rate.
        overlaps: what training data gives away.
        temperature: that the answers were sampled at.
    """
    variants = score_variants(answers)
    answers = {name: rows.filter(pl.col("split") == PLAIN) for name, rows in answers.items()}
    return Scores(
        checkpoints={name: artifact.digest for name, artifact in checkpoints.items()},
        temperature=temperature,
        weights={name: str(rows["weights"][0]) for name, rows in answers.items()},
        families=rates_by(answers, "family"),
        groups=rates_by(answers, "group"),
        tool_calls={name: valid_calls(rows) for name, rows in answers.items()},
        perplexity=perplexity,
        variants=variants,
        choices=choices,
        overlaps=overlaps,
        cut_off={name: cut_off(rows) for name, rows in answers.items()},
        changes={
            later: changes(answers[earlier], answers[later])
            for earlier, later in pairwise(CHECKPOINTS)
        },
        failures={name: count_reasons(rows) for name, rows in answers.items()},
        pass_at={name: pass_curves(rows) for name, rows in answers.items()},
    )


def rates_by(answers: Mapping[str, pl.DataFrame], column: str) -> dict[str, dict[str, Rate]]:
    """Family or group -> checkpoint -> pass rate; the house's own first, then as they are met."""
    known = FAMILY_GROUPS if column == "family" else FAMILY_GROUPS.values()
    met = (value for rows in answers.values() for value in rows[column])
    order = list(dict.fromkeys((*known, *met)))
    rates: dict[str, dict[str, Rate]] = {}
    for value in order:
        for name, rows in answers.items():
            kept = rows.filter((pl.col(column) == value) & ~pl.col("faulty"))
            if len(kept):
                found = clustered_rate(kept["problem_id"].to_list(), kept["passed"].to_list())
                rates.setdefault(value, {})[name] = found
    return rates


def changes(earlier: pl.DataFrame, later: pl.DataFrame) -> dict[str, Change]:
    """Family -> what the later checkpoint won and lost; `all` counts as a family of its own."""
    before, after = dict(_families(earlier)), dict(_families(later))
    found = {f: pair(before[f], after[f]) for f in before if f in after}
    return {**correct(found), ALL: _alone(pair(passes(earlier), passes(later)))}


def count_reasons(rows: pl.DataFrame) -> dict[str, int]:
    """Reason -> answers that failed for it, the commonest first."""
    failed = rows.filter(~pl.col("passed"))["reason"].value_counts()
    return dict(sorted(failed.iter_rows(), key=lambda reason: (-reason[1], reason[0])))


def pass_curves(rows: pl.DataFrame) -> dict[str, dict[str, float]]:
    """pass@k and pass^k at k = 1, 2, 4, ... up to the samples of a problem."""
    found = passes(rows)
    most = max((len(samples) for samples in found.values()), default=0)
    powers: Sequence[int] = [1 << n for n in range(most.bit_length())]
    return {
        "pass@k": {str(k): round(pass_at(found, k), 6) for k in powers},
        "pass^k": {str(k): round(pass_hat(found, k), 6) for k in powers},
    }


def _families(rows: pl.DataFrame) -> Iterator[tuple[str, dict[str, list[bool]]]]:
    for family in dict.fromkeys(rows["family"]):
        yield family, passes(rows.filter(pl.col("family") == family))


def _alone(change: Change) -> Change:
    return change.model_copy(update={"p_corrected": change.p_value})
