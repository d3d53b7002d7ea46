import hashlib
import random
import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from rensa import RMinHash

from bench.corpus import make_unspaced
from bench.dedup import Truth, dedup_ours, plant_copies, write_shards
from k2core.clean.duplicates import Deduplicator
from k2core.clean.groups import GROUP, PLACE, RANK, SharedKeys
from k2core.clean.shingles import hash_shingles
from k2core.clean.signatures import SignedShards, make_bands, sign_shard, sign_texts
from k2core.clean.verdict import Twin
from schemas.clean import CleanConfig, Deduplication
from tests.k2core.clean.corpora import document, prose

CONFIG = Deduplication()


UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]\p{M}*"
)


def list_shingles(text: str, ngram: int) -> list[str]:
    words = re.findall(r"\w+", UNSPACED.sub(r" \g<0> ", text.lower()))
    return [" ".join(words[n : n + ngram]) for n in range(max(1, len(words) - ngram + 1))]


def sign(text: str, config: Deduplication) -> np.ndarray:
    minhash = RMinHash(num_perm=config.num_bands * config.num_rows, seed=1)
    minhash.update(list_shingles(text, config.ngram))
    return np.array(minhash.digest(), np.uint32)


def find(
    texts: Sequence[str],
    folder: Path,
    config: Deduplication = CONFIG,
    domains: Sequence[str] = (),
    shard_documents: int = 100,
) -> list[Twin | None]:
    """What the stage finds of each text, in shards."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        document(f"{n}", text, domain)
        for n, (text, domain) in enumerate(zip(texts, domains or ["web"] * len(texts), strict=True))
    ]
    clean = CleanConfig(deduplication=config)
    shards = []
    for start in range(0, len(rows), shard_documents):
        path = folder / f"{start:05d}.parquet"
        part = pl.DataFrame(rows[start : start + shard_documents])
        part = part.with_columns(dropped=pl.col("domain") == "knowledge", measures=pl.lit("{}"))
        part.write_parquet(path)
        sign_shard(path, folder / "signed", clean)
        shards.append(folder / "signed" / path.stem)
    deduplicator = Deduplicator(config, SignedShards(shards), folder / "groups")
    found: list[Twin | None] = []
    for start, twins in zip(range(0, len(rows), shard_documents), deduplicator.find(), strict=True):
        found += [twins.get(n) for n in range(len(rows[start : start + shard_documents]))]
    return found


def find_one_by_one(
    texts: Sequence[str], domains: Sequence[str], config: Deduplication
) -> list[tuple[str, float] | None]:
    """The rule as it is told: each text, the longest first, against all that were kept before."""
    found: list[tuple[str, float] | None] = [None] * len(texts)
    digests: set[str] = set()
    kept: list[np.ndarray] = []
    for place in sorted(range(len(texts)), key=lambda n: (-len(texts[n].encode()), n)):
        text, domain = texts[place], domains[place]
        if domain == "knowledge":  # dropped by an earlier rule
            continue
        if text in digests:
            found[place] = ("exact_duplicate", 1.0)
            continue
        if domain == "web":
            own = sign(text, config)
            equal = [own == other for other in kept]
            shape = (config.num_bands, config.num_rows)
            alike = [e.mean() for e in equal if e.reshape(shape).all(1).any()]
            if alike and max(alike) >= config.min_similarity:
                found[place] = ("near_duplicate", float(max(alike)))
                continue
            kept.append(own)
        digests.add(text)
    return found


def edited(rng: random.Random, number: int) -> str:
    words = prose(number).split()
    for _ in range(rng.choice((0, 0, 1, 2, 4, 8))):
        words[rng.randrange(len(words))] = rng.choice(("one", "two", "three"))
    return " ".join(words)


@given(st.lists(st.text("ab c.,\n_éÉ²İΣσς中\u0301\u00a0—'9٣", max_size=60), max_size=9))
def test_shingles_have_the_hashes_that_rensa_gives_to_strings(texts: list[str]) -> None:
    for ngram in (1, 2, 5):
        found = hash_shingles(pl.Series(texts, dtype=pl.String), ngram)
        strings = [list_shingles(text, ngram) for text in texts]
        assert np.diff(found.offsets_N).tolist() == [len(each) for each in strings]
        wanted = RMinHash.hash_token_sets(strings)
        assert found.hashes_S.tolist() == [value for each in wanted for value in each]


def test_every_letter_and_digit_is_a_words_as_in_python() -> None:
    # Unassigned here may be a letter in the newer Unicode of Rust.
    known = [sign for sign in map(chr, range(0x3000)) if unicodedata.category(sign) != "Cn"]
    for places in (known[:0x800], known[0x800:]):
        found = hash_shingles(pl.Series([f"a{sign}b" for sign in places]), 1)
        wanted = [len(list_shingles(f"a{sign}b", 1)) for sign in places]
        assert np.diff(found.offsets_N).tolist() == wanted


def test_shingles_of_many_texts_and_long_words() -> None:
    texts = [prose(n) for n in range(150)] + ["x" * 5000, f"{'long' * 40} " * 30]
    found = hash_shingles(pl.Series(texts), 5)
    wanted = RMinHash.hash_token_sets([list_shingles(text, 5) for text in texts])
    assert found.hashes_S.tolist() == [value for each in wanted for value in each]


def test_signatures_are_rensas() -> None:
    texts = [prose(n) for n in range(20)] + ["", "short"]
    found = sign_texts(pl.Series(texts), CONFIG)
    assert np.array_equal(found, np.stack([sign(text, CONFIG) for text in texts]))


def test_equal_bands_have_equal_keys_and_others_have_not() -> None:
    signatures = sign_texts(pl.Series([prose(n) for n in range(40)]), CONFIG)
    signatures[1::2, :8] = signatures[0::2, :8]
    keys = make_bands(signatures, CONFIG)
    assert keys.shape == (14, 40)
    assert (keys[0, 0::2] == keys[0, 1::2]).all()
    assert len(np.unique(keys[1:])) == 13 * 40


@pytest.mark.parametrize("at_once", [3, 1000])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_groups_are_those_that_share_a_key(tmp_path: Path, at_once: int, step: int) -> None:
    rng = np.random.default_rng(0)
    sizes, starts = (40, 0, 25), (0, 40, 40)
    keys = [rng.integers(0, 60, size).astype(np.uint64) << np.uint64(32) for size in sizes]
    ranks = [rng.integers(0, 9, size).astype(np.uint64) for size in sizes]
    groups = SharedKeys(tmp_path, at_once, step)

    def keys_of(shard: int) -> np.ndarray:
        places = np.arange(starts[shard], starts[shard] + sizes[shard], dtype=np.uint64)
        return np.stack([ranks[shard], places, keys[shard]])

    groups.add(keys_of, 3, 65)
    groups.add(lambda shard: keys_of(shard)[:, :5], 3, 10)
    walked = list(groups.walk())
    lines, few = (np.concatenate(each, axis=1) for each in zip(*walked, strict=True))
    every, rank = np.concatenate(keys), np.concatenate(ranks)
    shared = [n for n in range(65) if (every == every[n]).sum() > 1]
    assert sorted(zip(lines[RANK].tolist(), lines[PLACE].tolist(), strict=True)) == sorted(
        (int(rank[n]), n) for n in shared
    )
    for place, room in lines[PLACE : GROUP + 1].T.tolist():
        members = set(np.flatnonzero(every == every[place]).tolist())
        assert set(lines[PLACE, lines[GROUP] == room].tolist()) == members
    assert not set(lines[GROUP].tolist()) & set(few[GROUP].tolist())
    seen = [{*block[RANK].tolist()} for block, _ in walked if block.size]
    assert all(max(one) <= min(other) for one, other in pairwise(seen))
    rooms = {room: int((lines[GROUP] == room).sum()) + 1 for room in lines[GROUP].tolist()}
    for room, other in pairwise(sorted(rooms)):
        assert room + rooms[room] <= other
    assert len(groups.open_notes()) >= sum(rooms.values())


@pytest.mark.parametrize("at_once", [3, 1000])
def test_lines_between_places_are_in_order(tmp_path: Path, at_once: int) -> None:
    keys = np.random.default_rng(0).integers(0, 30, 60).astype(np.uint64) << np.uint64(32)
    groups = SharedKeys(tmp_path, at_once)
    groups.add(lambda _: np.stack([keys * 0, np.arange(60, dtype=np.uint64), keys]), 1, 60)
    (lines,) = groups.between(10, 50)
    wanted = [n for n in range(10, 50) if (keys == keys[n]).sum() > 1]
    assert lines[PLACE].tolist() == wanted
    assert groups.open_notes().sum() == 0


def test_decisions_are_those_of_the_plain_loop_in_shards_of_any_size(tmp_path: Path) -> None:
    rng = random.Random(3)
    texts = [edited(rng, rng.randrange(40)) for _ in range(250)]
    domains = [rng.choice(("web", "web", "web", "math", "knowledge")) for _ in texts]
    wanted = find_one_by_one(texts, domains, CONFIG)
    assert {reason for reason, _ in filter(None, wanted)} == {"exact_duplicate", "near_duplicate"}
    for size in (1, 17, 250):
        found = find(texts, tmp_path / str(size), CONFIG, domains, size)
        got = [(twin.verdict.reason, twin.verdict.measured) if twin else None for twin in found]
        assert got == wanted


def test_a_duplicate_names_the_kept_document(tmp_path: Path) -> None:
    first = prose(1)
    near = first.replace("bronze", "copper")
    found = find([prose(9), first, near, first, near, prose(50)], tmp_path)
    kept_id = hashlib.sha256(b"1").hexdigest()[:16]
    assert [twin and (twin.verdict.reason, twin.kept_id) for twin in found] == [
        None, None, ("near_duplicate", kept_id), ("exact_duplicate", kept_id),
        ("near_duplicate", kept_id), None,
    ]  # fmt: skip


EARLY, LATE = prose(1), prose(1).replace("bronze", "copper and tin")


@pytest.mark.parametrize(
    ("changes", "copies", "kept"),
    [
        ({}, [("a", EARLY, 0.9), ("b", LATE, 0.9)], 1),  # the longer
        ({}, [("a", LATE, 0.5), ("b", EARLY, 0.9)], 1),  # the one that is surely English
        ({}, [("a", EARLY, 0.91), ("b", LATE, 0.94)], 1),  # alike in tenths
        ({}, [("a", EARLY, None), ("b", EARLY, None)], 0),  # the first
        ({"sources": ("b",)}, [("a", LATE, 0.9), ("b", EARLY, 0.5)], 1),  # the source named
        ({"sources": ("c", "b", "a")}, [("a", LATE, 1), ("b", LATE, 1), ("c", EARLY, 0)], 2),
        ({"prefer": ("length",)}, [("a", EARLY, 0.9), ("b", LATE, 0.1)], 1),
        ({"prefer": ()}, [("a", EARLY, 0.1), ("b", LATE, 0.9)], 0),  # the corpus' order
        ({"prefer": ("language", "source"), "sources": ("a",)},
         [("a", LATE, 0.5), ("b", EARLY, 0.9)], 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 3])
def test_the_better_copy_stays(
    changes: dict[str, tuple[str, ...]],
    copies: list[tuple[str, str, float | None]],
    kept: int,
    size: int,
    tmp_path: Path,
) -> None:
    clean = CleanConfig(deduplication=Deduplication.model_validate(changes))
    rows = [
        document(f"{n}", text, "web")
        | {"source": source, "measures": "{}" if score is None else f'{{"not_en": {score}}}'}
        for n, (source, text, score) in enumerate(copies)
    ]
    shards = []
    for start in range(0, len(rows), size):
        path = tmp_path / f"{start}.parquet"
        frame = pl.DataFrame(rows[start : start + size])
        frame.with_columns(dropped=pl.lit(value=False)).write_parquet(path)
        sign_shard(path, tmp_path / "signed", clean)
        shards.append(tmp_path / "signed" / path.stem)
    found_by = Deduplicator(clean.deduplication, SignedShards(shards), tmp_path / "groups")
    twins = list(found_by.find())
    found = [twin for shard in twins for twin in shard.values()]
    assert {twin.kept_id for twin in found} == {rows[kept]["doc_id"]}
    assert len(found) == len(copies) - 1


def test_similarity_estimates_jaccard(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(400)]
    other = words[:300] + [f"v{number}" for number in range(100)]
    config = Deduplication(num_bands=128, num_rows=2, min_similarity=0.01)
    _, twin = find([" ".join(words), " ".join(other)], tmp_path, config)
    assert twin is not None
    assert twin.verdict.measured == pytest.approx(296 / 496, abs=0.1)


@pytest.mark.parametrize("first", [0x4E00, 0x0E01], ids=["Chinese", "Thai"])
def test_near_copies_without_spaces_are_near(first: int) -> None:
    draws = random.Random(0)
    signs = [chr(first + number) for number in range(40)]
    words = ["".join(draws.choices(signs, k=2)) for _ in range(500)]
    text = draws.choices(words, k=400)
    copy = [draws.choice(words) if draws.random() < 0.01 else word for word in text]
    other = draws.choices(words, k=400)
    found = hash_shingles(pl.Series(["".join(each) for each in (text, copy, other)]), 5)
    parts = np.split(found.hashes_S, found.offsets_N[1:-1])
    sets = [set(part.tolist()) for part in parts]
    near, far = (len(sets[0] & each) / len(sets[0] | each) for each in sets[1:])
    assert near > 0.75
    assert far < 0.1


@pytest.mark.parametrize("language", ["zh", "th"])
def test_planted_copies_without_spaces_are_parted(language: str, tmp_path: Path) -> None:
    texts = make_unspaced(24, language)
    planted = plant_copies(texts, random.Random(2), language)
    write_shards(planted.texts, tmp_path, language)
    kept = set(dedup_ours(tmp_path))
    truth = Truth(planted.texts, language)
    near = [pair for pair in planted.pairs if truth.similarity(*pair) > 0.85]
    assert len(near) == 4
    assert not [pair for pair in near if set(pair) <= kept]
    dropped = set(range(len(planted.texts))) - kept
    assert all(truth.nearest(number) > 0.6 for number in dropped)
