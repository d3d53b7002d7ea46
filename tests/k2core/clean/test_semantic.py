from pathlib import Path

import numpy as np
import pytest

from k2core import embeddings
from k2core.clean import clean_documents
from k2core.clean.semantic import Alike, find_alike, find_in_cluster, fit_centres
from k2core.embeddings import DIMENSIONS, embed_all
from k2core.store import Store
from schemas.clean import CleanConfig, Deduplication, DomainRules, SemanticDuplicates
from tests.k2core.clean.corpora import document, publish_raw, read_folder

LIMIT = 0.9
FREE = DomainRules(language=False, quality=None, repetition=None)


def make_vectors(num: int, copies: int) -> tuple[np.ndarray, list[int]]:
    """Unit vectors far from each other, then near ones of some, and of which."""
    rng = np.random.default_rng(0)
    apart = rng.normal(size=(num, DIMENSIONS))
    of = rng.integers(0, num, copies).tolist()
    near = apart[of] + 0.1 * rng.normal(size=(copies, DIMENSIONS))
    every = np.concatenate([apart, near])
    return (every / np.linalg.norm(every, axis=1, keepdims=True)).astype(np.float32), of


def list_alike(vectors: np.ndarray) -> list[Alike]:
    """The rule as it is told, one after another."""
    kept: list[int] = []
    found = []
    for place, vector in enumerate(vectors):
        cosines = [float(vector @ vectors[other]) for other in kept]
        if cosines and max(cosines) >= LIMIT:
            best = int(np.argmax(cosines))
            found.append(Alike(place, kept[best], cosines[best]))
        else:
            kept.append(place)
    return found


def test_in_a_cluster_the_first_of_the_alike_stays() -> None:
    vectors, of = make_vectors(700, 400)
    found = find_in_cluster(vectors, LIMIT)
    wanted = list_alike(vectors)
    assert [(a.place, a.kept) for a in found] == [(a.place, a.kept) for a in wanted]
    assert [a.cosine for a in found] == pytest.approx([a.cosine for a in wanted], abs=1e-5)
    assert [(a.place, a.kept) for a in found] == list(zip(range(700, 1100), of, strict=True))


def test_clusters_and_shards_part_no_near_copies() -> None:
    vectors, of = make_vectors(300, 100)
    config = SemanticDuplicates(min_cosine=LIMIT, cluster_documents=50)
    centres = fit_centres(vectors, len(vectors), config)
    assert centres.shape == (8, DIMENSIONS)
    assert np.allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-5)
    ranks = np.zeros(len(vectors), np.uint64)
    whole = find_alike([vectors], ranks, config)
    parts = find_alike([vectors[:7], vectors[7:7], vectors[7:350], vectors[350:]], ranks, config)
    assert whole == parts
    found = {(a.place, a.kept) for a in whole}
    wanted = set(zip(range(300, 400), of, strict=True))
    assert found <= wanted
    assert len(found) > 90  # a copy may fall into the next cluster


def test_of_the_alike_the_preferred_stays_wherever_it_stands() -> None:
    vectors, of = make_vectors(20, 10)
    config = SemanticDuplicates(min_cosine=LIMIT)
    ranks = np.arange(len(vectors), dtype=np.uint64)[::-1].copy()
    found = find_alike([vectors[:9], vectors[9:]], ranks, config)
    dropped = {alike.place for alike in found}
    assert {alike.kept for alike in found if alike.kept >= 20}
    assert {place for place in range(20, 30) if place not in dropped} >= {29}
    assert {of[n] for n in range(10)} <= dropped  # a copy that is preferred stays for them


def test_nothing_to_compare_is_no_error() -> None:
    assert (
        find_alike(
            [np.empty((0, DIMENSIONS), np.float32)], np.zeros(0, np.uint64), SemanticDuplicates()
        )
        == []
    )


def test_embeddings_are_unit_vectors_of_their_own_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "_kept", {})
    monkeypatch.setattr(embeddings, "_MOST_KEPT", 3)
    texts = ["A harp is an instrument with strings.", "Rust is a language for programs.", "", "x y"]
    alone = {text: embed_all([text])[0] for text in texts}
    assert list(embeddings._kept) == texts[1:]
    vectors = embed_all([*texts, texts[0]])
    assert vectors.shape == (5, DIMENSIONS)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert np.array_equal(vectors, [alone[text] for text in [*texts, texts[0]]])
    assert embed_all([]).shape == (0, DIMENSIONS)


def test_the_stage_keeps_the_longer_of_what_says_the_same_in_other_words(tmp_path: Path) -> None:
    first = (
        "The harp is a musical instrument with strings that run at an angle to its soundboard. "
        "It was already played in Egypt about five thousand years ago."
    )
    same = (
        "A harp is an instrument of music whose strings stand at an angle to the sounding board. "
        "People already played it in Egypt some five thousand years ago."
    )
    other = "Rust is a programming language that checks the ownership of memory as it compiles."
    store = Store(tmp_path)
    rows = [document(n, text) for n, text in (("a", first), ("b", other), ("c", same))]
    rows.append(document("d", first))
    raw = publish_raw(store, rows, 2)
    rules = Deduplication(semantic=SemanticDuplicates(min_cosine=0.93))
    config = CleanConfig(knowledge=FREE, deduplication=rules)
    draft = clean_documents(config, [], raw, store.workspace("clean"))
    found = {row["doc_id"]: row for row in read_folder(draft.folder / "duplicates")}
    ids = {row["path"]: row["doc_id"] for row in rows}
    assert len(same) > len(first)
    assert {path: found[ids[path]]["reason"] for path in "ad"} == {
        "a": "semantic_duplicate",
        "d": "exact_duplicate",
    }
    assert set(found) == {ids["a"], ids["d"]}
    assert (found[ids["a"]]["kept_id"], found[ids["d"]]["kept_id"]) == (ids["c"], ids["a"])
    assert float(str(found[ids["a"]]["measured"])) >= 0.93
