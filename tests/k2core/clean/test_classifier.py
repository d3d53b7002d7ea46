import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from k2core.clean import clean_documents
from k2core.clean.batch import TextBatch
from k2core.clean.classifier import Scorer, hash_word, list_features
from k2core.store import Draft, Store, digest_of, manifest_of
from schemas.clean import CleanConfig, DomainRules
from schemas.selection import Classifier
from tests.k2core.clean.corpora import document, prose, publish_raw, read_folder

FREE = DomainRules(language=False, quality=None, repetition=None)
RULES = Classifier(num_buckets=5000, keep_frac=1, max_documents=1000)
SPAM = ("buy", "cheap", "now", "click", "free", "offer", "best", "price", "deal", "sale")


def spam(number: int) -> str:
    rng = random.Random(number)
    return f"id{number} " + " ".join(rng.choices(SPAM, k=40))


def config(**changed: object) -> CleanConfig:
    rules = Classifier.model_validate(RULES.model_dump() | changed)
    return CleanConfig(knowledge=FREE, web=FREE, classifier=rules)


def rows() -> list[dict[str, str]]:
    return [
        *(document(f"k{n}", prose(n)) for n in range(60)),
        *(document(f"w{n}", spam(n), "web") for n in range(50)),
        *(document(f"p{n}", prose(100 + n), "web") for n in range(4)),
    ]


def clean(folder: Path, size: int = 1000, **changed: object) -> Draft:
    store = Store(folder)
    raw = publish_raw(store, rows(), size)
    return clean_documents(config(**changed), [], raw, store.workspace(f"clean{size}"))


def test_features_are_words_and_neighbours_within_a_document() -> None:
    batch = TextBatch(pl.Series(["The cat, the CAT.", "", "cat the"]))
    found = list_features(batch, 1 << 40)
    words, pairs = found.bucket_X[:6].tolist(), found.bucket_X[6:].tolist()
    the, cat = hash_word("the"), hash_word("cat")
    assert words == [the, cat, the, cat, cat, the]
    assert found.document_X.tolist() == [0, 0, 0, 0, 2, 2, 0, 0, 0, 2]
    assert pairs[0] == pairs[2] != pairs[1] == pairs[3]


def test_a_score_is_the_logistic_of_the_mean_weight() -> None:
    weights = np.zeros(1000, np.float32)
    weights[hash_word("good") % 1000] = 6.0
    scorer = Scorer(weights, -1.0, 0.5, frozenset({"web"}))
    pair = list_features(TextBatch(pl.Series(["good word"])), 1000).bucket_X[2]
    weights[pair] = 3.0
    scores = scorer.score(TextBatch(pl.Series(["good word", "", "x"])))
    # Three features, weights 6, 0 and 3: mean 3, and the bias.
    by_hand = [1 / (1 + np.exp(-2)), 1 / (1 + np.e), 1 / (1 + np.e)]
    assert scores.tolist() == pytest.approx(by_hand, abs=1e-6)
    assert scorer.check(TextBatch(pl.Series(["good word", "x"]))).fails_N.tolist() == [False, True]


def test_a_document_is_scored_alike_in_any_company() -> None:
    rng = np.random.default_rng(0)
    scorer = Scorer(rng.normal(size=999).astype(np.float32), 0.1, 0.5, frozenset())
    texts = ["", " \n ", prose(1), spam(1), "é… ü x", prose(2)]
    together = scorer.score(TextBatch(pl.Series(texts))).tolist()
    assert together == [float(scorer.score(TextBatch(pl.Series([text])))[0]) for text in texts]


def test_it_learns_to_tell_the_reference_from_raw_text(tmp_path: Path) -> None:
    draft = clean(tmp_path)
    decisions = {row["path"]: row for row in read_folder(draft.folder / "decisions")}
    scores = {path: float(str(row["quality_score"])) for path, row in decisions.items()}
    assert min(scores[f"p{n}"] for n in range(4)) > max(scores[f"w{n}"] for n in range(50))
    assert {scores[f"k{n}"] for n in range(60)} == {0.0}  # not of a scored domain
    assert {row["decision"] for row in decisions.values()} == {"kept"}  # keep_frac 1 only scores
    held_out = pl.read_parquet(draft.folder / "quality" / "heldout.parquet")
    of_class = {label: held_out.filter(label=label)["score"] for label in (0, 1)}
    assert float(of_class[1].median()) > 0.8 > 0.2 > float(of_class[0].median())  # type: ignore[arg-type]
    everyone = {str(row["doc_id"]) for row in decisions.values()}
    assert 0 < len(held_out) < len(everyone) / 4
    assert set(held_out["doc_id"]) < everyone


def test_the_lowest_scores_go_with_score_and_threshold(tmp_path: Path) -> None:
    draft = clean(tmp_path, keep_frac=0.1, l2=1e-3)  # scores that differ in six decimals
    decisions = read_folder(draft.folder / "decisions")
    dropped = [row for row in decisions if row["decision"] == "dropped"]
    kept = [row for row in decisions if row["decision"] == "kept" and row["domain"] == "web"]
    assert {(row["rule"], row["reason"], row["rule_version"]) for row in dropped} == {
        ("classifier", "low_quality", "1")
    }
    (threshold,) = {row["threshold"] for row in dropped}
    assert len(kept) == 6  # the tenth of 54, and what reaches the lowest score among them
    assert {f"p{n}" for n in range(4)} < {str(row["path"]) for row in kept}
    assert all(row["measured"] == row["quality_score"] < threshold for row in dropped)  # type: ignore[operator]
    assert all(row["quality_score"] >= threshold for row in kept)  # type: ignore[operator]


def test_what_rules_reject_is_raw_too(tmp_path: Path) -> None:
    short = DomainRules(language=False, repetition=None)
    documents = [
        *(document(f"k{n}", prose(n)) for n in range(40)),
        *(document(f"bad{n}", spam(n)) for n in range(40)),
        document("asked", spam(99), "web"),
    ]
    store = Store(tmp_path)
    rules = RULES.model_copy(update={"negatives": ("rejected",)})
    config = CleanConfig(knowledge=short, web=FREE, classifier=rules)
    raw = publish_raw(store, documents, 1000)
    draft = clean_documents(config, [], raw, store.workspace("clean"))
    decisions = {str(row["path"]): row for row in read_folder(draft.folder / "decisions")}
    assert {decisions[f"bad{n}"]["rule"] for n in range(40)} == {"gopher_quality"}
    assert float(str(decisions["asked"]["quality_score"])) < 0.5


def test_equal_inputs_give_equal_classifiers_in_any_shards(tmp_path: Path) -> None:
    digests = set()
    for name, size in (("a", 1000), ("b", 1000), ("c", 7)):
        folder = clean(tmp_path / name, size).folder
        digests.add(digest_of(manifest_of(folder)))
    assert len(digests) == 1


def test_a_resumed_run_trains_no_second_time(tmp_path: Path) -> None:
    once = clean(tmp_path)
    weights = tmp_path / "work" / "clean1000" / "scratch" / "quality" / "weights.npy"
    stat = next(tmp_path.rglob("scratch/quality/weights.npy"), weights).stat()
    before = digest_of(manifest_of(once.folder))
    again = clean(tmp_path)
    assert digest_of(manifest_of(again.folder)) == before
    found = next(tmp_path.rglob("scratch/quality/weights.npy"), weights).stat()
    assert found.st_mtime_ns == stat.st_mtime_ns


def test_too_little_of_a_class_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no document of its positives to train on"):
        clean(tmp_path, positives=("nowhere",))
    with pytest.raises(ValidationError, match="are positives and negatives"):
        Classifier(positives=("web",))
