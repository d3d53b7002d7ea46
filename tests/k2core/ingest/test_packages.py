"""Installed sources are read in pieces, and no shard shows where one ends."""

import hashlib
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k2core.ingest import packages
from k2core.ingest.collect import choose_items, collect_documents
from k2core.ingest.packages import forget_items, read_items
from k2core.ingest.source import Item, Source
from k2core.pieces import NotSeenError
from k2core.store import Store, digest_of, manifest_of
from schemas.ingest import IngestConfig


def write_text(name: str) -> str:
    """Of any length from 1 to 300 characters, by its name."""
    return "ä" * random.Random(name).randrange(1, 300)


def make_source(name: str, num: int, write: Callable[[str], str] = write_text) -> Source:
    items = [Item(f"{name}/{number}", partial(write, f"{name}{number}")) for number in range(num)]
    return Source(name, "code", "text", "MIT", "p", "1", "us", num, lambda _: items)


@given(
    nums=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    together=st.integers(1, 50),
    documents=st.integers(1, 30),
    num_bytes=st.integers(1_000, 5_000),
)
@settings(deadline=None, max_examples=15)
def test_shards_are_those_of_one_look_at_all(
    tmp_path_factory: pytest.TempPathFactory,
    nums: list[int],
    together: int,
    documents: int,
    num_bytes: int,
) -> None:
    sizes = {"shard_documents": documents, "shard_bytes": num_bytes}
    config = IngestConfig().model_copy(update=sizes)
    sources = [make_source(f"s{number}", num) for number, num in enumerate(nums)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packages, "_TOGETHER", together)
        made = collect_documents(
            config, sources, Store(tmp_path_factory.mktemp("store")).workspace("ingest")
        )
    items = [(s.name, item) for s in sources for item in choose_items(config, s)]
    wanted: list[list[str]] = [[]]
    size = 0
    for _, item in items:
        more = len(item.read().encode())
        if wanted[-1] and (len(wanted[-1]) == documents or size + more > num_bytes):
            wanted.append([])
            size = 0
        wanted[-1].append(item.path)
        size += more
    shards = sorted((made.folder / "documents").glob("*.parquet"))
    assert [path.name for path in shards] == [f"{n:05d}.parquet" for n in range(len(wanted))]
    assert [pl.read_parquet(path)["path"].to_list() for path in shards] == wanted
    digests = [hashlib.sha256(item.read().encode()).hexdigest() for _, item in items]
    found = pl.concat([pl.read_parquet(path) for path in shards])
    assert found["digest"].to_list() == digests
    assert made.counts["documents"] == len(items)


def test_a_killed_run_goes_on_and_a_new_version_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "_TOGETHER", 10)
    store, read = Store(tmp_path), list[str]()

    def write(name: str) -> str:
        read.append(name)
        if len(read) == 25:
            raise KeyboardInterrupt
        return write_text(name)

    source = make_source("s", 40, write)
    with pytest.raises(KeyboardInterrupt):
        collect_documents(IngestConfig(), [source], store.workspace("ingest"))
    made = collect_documents(IngestConfig(), [source], store.workspace("ingest"))
    assert len(read) == 25 + 20
    digest = digest_of(manifest_of(made.folder))
    newer = source._replace(version="2")
    again = collect_documents(IngestConfig(), [newer], store.workspace("ingest"))
    assert len(read) == 25 + 20 + 40
    plain = collect_documents(IngestConfig(), [make_source("s", 40)], store.workspace("plain"))
    assert digest == digest_of(manifest_of(plain.folder)) != digest_of(manifest_of(again.folder))


def test_a_machine_with_another_package_says_so(tmp_path: Path) -> None:
    forget_items()
    source = make_source("s", 3)
    with pytest.raises(NotSeenError, match="s is not here as it is listed: 's/3'"):
        read_items(IngestConfig(), (), packages._Asked(source, ("s/2", "s/3")), tmp_path)
