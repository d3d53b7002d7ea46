"""Every token is traced to its document, with and without what could be lost."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from k2core.reporting import Silent
from k2core.store import Store, Workspace
from k2core.tokenize.trace import (
    Order,
    TraceError,
    compare_orders,
    read_orders,
    replay_orders,
    verify_place,
)
from k2core.tokens import DocumentIds
from tests.k2core.tokenize.test_tokenize import (
    CONFIG,
    clean_rows,
    publish_inputs,
    rewrite_rows,
    run,
    run_in_parts,
)

TEXTS = {row["doc_id"]: row["text"] for row in [*clean_rows(), *rewrite_rows()]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def folder(store: Store) -> Path:
    return run(store).folder


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tokens in many parts."""
    return run_in_parts(Store(tmp_path_factory.mktemp("parted"))).folder


@pytest.fixture(scope="module")
def replayed(
    store: Store, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Order]:
    """From config and corpora alone: manifest and index files are not there."""
    bare = tmp_path_factory.mktemp("bare")
    shutil.copytree(folder / "tokenizer", bare / "tokenizer")
    clean, rephrased = map(store.open, publish_inputs(store))
    workspace = Workspace(store, bare, bare, store.states("bare"), Silent(), store.states("bare"))
    return replay_orders(CONFIG, bare / "tokenizer", clean, rephrased, workspace)


def test_the_replayed_order_is_the_recorded_one(
    folder: Path, parted: Path, replayed: dict[str, Order]
) -> None:
    compare_orders(read_orders(folder), replayed)
    compare_orders(read_orders(parted), replayed)
    assert {"train/code", "heldout/math"} < replayed.keys()


def test_every_token_leads_to_its_document_and_back(
    folder: Path, parted: Path, replayed: dict[str, Order]
) -> None:
    num_documents, orders, others = 0, read_orders(folder), read_orders(parted)
    for shard, order in replayed.items():
        offset = 0
        while offset < order.layout.num_tokens:
            place = order.locate(offset)
            assert order.locate(offset + place.length - 1) == place
            assert order.places(place.doc_id) == [place]
            assert orders[shard].locate(offset) == others[shard].locate(offset) == place
            assert others[shard].places(place.doc_id) == [place]
            for made in (folder, parted):
                verify_place(made, order, place, TEXTS[place.doc_id])
            offset += place.length
            num_documents += 1
    assert num_documents > 150
    assert order.places("nobody") == []


def test_a_changed_token_text_or_order_is_named(
    tmp_path: Path, folder: Path, replayed: dict[str, Order]
) -> None:
    order = replayed["train/math"]
    place = order.locate(100)
    text = TEXTS[place.doc_id]
    with pytest.raises(TraceError, match=f"holds {place.length} tokens of document"):
        verify_place(folder, order, place, text + " And more.")
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    tokens = np.memmap(broken / "train/math/000000.bin", np.uint16, "r+")
    tokens[place.start + 2] += 1
    tokens.flush()
    with pytest.raises(TraceError, match=rf"train/math: token {place.start + 2} is not"):
        verify_place(broken, order, place, text)
    with (broken / "train/math/000000.bin").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(TraceError, match="which are no"):
        verify_place(broken, order, place, text)
    with pytest.raises(TraceError, match=r"train/math has no token \d+: its tokens are 0 to"):
        order.locate(order.layout.num_tokens)
    ids = [order.doc_ids[row] for row in range(len(order.doc_ids))]
    swapped = order._replace(doc_ids=DocumentIds.of([*ids[:3], *ids[:2:-1]]))
    with pytest.raises(TraceError, match="train/math: from row 3 on"):
        compare_orders(replayed, {**replayed, "train/math": swapped})
    with pytest.raises(TraceError, match="and their config makes"):
        compare_orders(replayed, {"train/math": order})
