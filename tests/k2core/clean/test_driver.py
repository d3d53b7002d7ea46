"""What is held while duplicates are decided on does not grow with the documents."""

import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from bench.driver import draw_judged
from k2core.clean import found, groups, signatures
from k2core.clean.duplicates import Deduplicator
from k2core.clean.found import FoundTwins
from k2core.clean.signatures import SignedShards
from k2core.clean.verdict import RuleVerdict, Twin
from schemas.clean import Deduplication

_SHARD = 2_000


def hold_bytes(folder: Path, num_shards: int) -> float:
    """The most that Python and numpy hold for so many shards."""
    prefixes = []
    for number in range(num_shards):
        place = folder / f"{number:06d}"
        draw_judged(number * _SHARD, (number + 1) * _SHARD, place)
        prefixes.append(place / "judged")
    tracemalloc.start()
    rules = Deduplication(num_bands=4, num_rows=2)
    shards = SignedShards(prefixes)
    twins = Deduplicator(rules, shards, folder / "groups").find()
    num = sum(len(each) for each in twins)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert num > 0.08 * num_shards * _SHARD
    return peak


def test_memory_goes_by_what_is_looked_at_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "_AT_ONCE", 2 * _SHARD)
    monkeypatch.setattr(groups, "_LINES", 2_000)
    monkeypatch.setattr(found, "_TOGETHER", _SHARD)
    monkeypatch.setattr(found, "_BUFFERED", 200)
    hold_bytes(tmp_path / "first", 2)  # what is imported and kept is no document's
    few, many = (hold_bytes(tmp_path / f"{num}", num) for num in (6, 24))
    assert (many - few) / (18 * _SHARD) < 4  # bytes a document; arrays over all took 78


def test_only_some_shards_are_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "_MOST_OPEN", 2)
    for number in range(5):
        draw_judged(number * 10, number * 10 + 10, tmp_path / "made" / f"{number}")
    shards = SignedShards([tmp_path / "made" / f"{number}" / "judged" for number in range(5)])
    rng = random.Random(0)
    for _ in range(30):
        number = rng.randrange(5)
        assert shards[number].num == shards.sizes[number] == 10
        assert shards[number] is shards[number]
    first = shards[0]
    assert len({id(each) for each in shards}) >= 2
    assert shards[0] is not first


def test_duplicates_come_back_by_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "_TOGETHER", 7)
    monkeypatch.setattr(found, "_BUFFERED", 5)
    rng, starts = random.Random(0), [0, 4, 4, 20, 21, 40]
    wanted: list[dict[int, Twin]] = [{} for _ in starts[1:]]
    twins = FoundTwins(np.array(starts), tmp_path)
    for place in rng.sample(range(40), 25):
        number = next(n for n, last in enumerate(starts[1:]) if place < last)
        reason, kept = (
            rng.choice(("exact_duplicate", "near_duplicate")),
            f"{rng.getrandbits(64):016x}",
        )
        twin = Twin(RuleVerdict("deduplication", reason, rng.random(), 0.8), kept)
        wanted[number][2 * (place - starts[number])] = twin
        twins.add(place, 2 * (place - starts[number]), twin)
    assert list(twins.by_shard()) == wanted
    again = FoundTwins(np.array(starts), tmp_path)  # of a killed run nothing is left
    assert not any(again.by_shard())
