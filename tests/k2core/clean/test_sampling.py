from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from k2core.clean import clean_documents
from k2core.clean.checks import Check
from k2core.clean.draws import draw
from k2core.clean.sampling import NO_SCORE, count_copies, sample_document, score_documents
from k2core.store import Store
from schemas.clean import CleanConfig
from schemas.corpus import DocumentRow
from schemas.selection import Sampling
from tests.k2core.clean.corpora import document, prose, publish_raw, read_folder

RULES = Sampling()


def row(number: int, path: str = "a.html", domain: str = "web") -> DocumentRow:
    return cast(DocumentRow, document(path, "", domain) | {"doc_id": f"{number:016x}"})


def test_scores_are_combined_and_those_that_lack_left_out() -> None:
    checks = [
        Check("classifier", "low_quality", np.array([0.9, 0.2]), 0.0, floor=True),
        Check("language", "not_en", np.array([0.6, 0.8]), 0.3, floor=True),
        Check("url", "soft_words", np.array([1.0, 1.0]), 1),
        Check("gopher_quality", "too_few", np.array([100.0, 50.0]), 50, floor=True),
        Check("code", "long_line", np.array([np.nan, 250.0]), 1000),
    ]
    # Nearness 0.5 alone; 1 and 0.25 together.
    scores = score_documents(checks, 2, RULES)
    assert scores.tolist() == pytest.approx([(0.9 + 0.6 + 0.5) / 3, (0.2 + 0.8 + 0.375) / 3])
    only = RULES.model_copy(update={"scorers": {"classifier": 3.0, "language": 1.0}})
    assert score_documents(checks, 2, only)[0] == pytest.approx((3 * 0.9 + 0.6) / 4)
    assert score_documents(checks[2:3], 2, RULES).tolist() == [NO_SCORE, NO_SCORE]


@pytest.mark.parametrize(
    ("score", "path", "copies"),
    [(0.0, "a", 0), (0.25, "a", 0.5), (0.5, "a", 1), (0.75, "a", 1.5), (1.0, "a", 2),
     (0.5, "a.json", 0.1), (1.0, "x/a.YML", 0.2), (NO_SCORE, "a.y", 0.1), (NO_SCORE, "a", 1)],
)  # fmt: skip
def test_copies_follow_the_curve_and_the_ending(score: float, path: str, copies: float) -> None:
    assert count_copies(score, path, RULES) == pytest.approx(copies)


def test_the_mean_of_the_draws_is_right() -> None:
    kept = [sample_document(row(n), 0.3, RULES).verdict is None for n in range(4000)]
    assert np.mean(kept) == pytest.approx(0.6, abs=0.03)
    files = [sample_document(row(n, "a.json", "code"), 0.5, RULES) for n in range(4000)]
    assert np.mean([each.weight for each in files]) == pytest.approx(0.1, abs=0.02)


@given(st.floats(0, 1), st.integers(0, 10**6), st.sampled_from(["a", "a.json", "b.yml"]))
def test_a_verdict_tells_what_would_have_kept_it(score: float, number: int, path: str) -> None:
    document = row(number, path)
    found = sample_document(document, score, RULES)
    assert sample_document(document, score, RULES) == found
    if found.verdict is None:
        assert found.weight == pytest.approx(max(1, count_copies(score, path, RULES)), abs=1e-6)
    elif found.verdict.reason == "down_sampled_score":
        assert found.weight == 0
        assert found.verdict.measured == score <= found.verdict.threshold + 1e-12
        if found.verdict.threshold < 0.999:
            better = sample_document(document, found.verdict.threshold + 1e-6, RULES)
            assert better.verdict is None
    else:
        assert found.verdict.threshold == draw(0, "sampling", document["doc_id"])
        assert sample_document(document, 1.0, RULES).verdict is not None


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 10**6))
def test_a_better_score_is_never_worse(one: float, other: float, number: int) -> None:
    low, high = (sample_document(row(number), s, RULES).weight for s in sorted((one, other)))
    assert low <= high


def test_other_domains_and_no_config_sample_nothing() -> None:
    assert sample_document(row(1, domain="math"), 0.0, RULES) == (None, 1.0)
    assert sample_document(row(1), 0.0, None) == (None, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [{"curve": ((0, 0), (1, 0))}, {"curve": ((0, 0), (0.5, 1))}, {"curve": ((0, 1),)},
     {"scorers": {"taste": 1}}, {"scorers": {"rules": 0}}, {"endings": {"json": -1}}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Sampling.model_validate(wrong)


def test_decisions_say_how_often_each_document_is_wanted(tmp_path: Path) -> None:
    rows = [document(f"w{n}", prose(n), "web") for n in range(40)]
    rows += [document(f"k{n}", prose(100 + n)) for n in range(5)]
    store = Store(tmp_path)
    curve = ((0.0, 0.0), (0.6, 0.5), (1.0, 3.0))
    config = CleanConfig(sampling=Sampling(curve=curve))
    draft = clean_documents(config, [], publish_raw(store, rows, 100), store.workspace("clean"))
    decisions = read_folder(draft.folder / "decisions")
    weights = {str(d["path"]): float(str(d["sampling_weight"])) for d in decisions}
    dropped = [d for d in decisions if d["decision"] == "dropped"]
    assert {(d["rule"], d["reason"]) for d in dropped} <= {("sampling", "down_sampled_score")}
    assert all(weights[str(d["path"])] == 0 for d in dropped)
    assert {weights[f"k{n}"] for n in range(5)} == {1.0}
    assert max(weights.values()) > 1
    kept = read_folder(draft.folder / "kept")
    again = publish_raw(store, [{k: str(v) for k, v in each.items()} for each in kept], 7)
    second = clean_documents(config, [], again, store.workspace("second"))
    assert read_folder(second.folder / "kept") == kept
