"""Where a part ends changes nothing that is read, and a part is opened where it is read."""

import json
from pathlib import Path

import numpy as np
import pytest

from k2core.tokens import (
    DocumentIds,
    PartedTokens,
    TokenStream,
    open_indexed,
    parts,
    read_manifest,
    token_type,
    write_index,
    write_indexed,
)
from schemas.errors import InputsError
from schemas.tokenize import TokenPart
from tests.k2core.tokens.token_corpus import megatrons_own, write_corpus

LENGTHS = {"code": [5, 40, 17, 90], "math": [7] * 30, "web": [300]}
BUDGETS = {"code": 400, "math": 500, "web": 250}


@pytest.fixture
def whole(tmp_path: Path) -> TokenStream:
    write_corpus(tmp_path / "whole", LENGTHS, BUDGETS)
    return TokenStream(tmp_path / "whole", 3, 16)


@pytest.fixture(params=[1, 2, 3, 29])
def parted(request: pytest.FixtureRequest, tmp_path: Path) -> TokenStream:
    write_corpus(tmp_path / "parted", LENGTHS, BUDGETS, request.param)
    return TokenStream(tmp_path / "parted", 3, 16)


def test_samples_do_not_depend_on_parts(whole: TokenStream, parted: TokenStream) -> None:
    assert parted.num_samples == whole.num_samples
    for index in range(whole.num_samples):
        one, other = whole.sample(index), parted.sample(index)
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_array_equal(one.segments, other.segments)
        assert whole.trace(index) == parted.trace(index)
    for name, sizes in LENGTHS.items():
        ids = parted.document_ids(name)
        assert [id_ for group in ids.groups() for id_ in group] == [
            f"{name}{row}" for row in range(len(sizes))
        ]
        for row in range(len(sizes)):
            assert (ids[row], ids.rows_of(f"{name}{row}")) == (f"{name}{row}", [row])
            assert whole.readings(name, row, 4) == parted.readings(name, row, 4)
        held_out = zip(whole.held_out(name), parted.held_out(name), strict=True)
        assert all(np.array_equal(one, other) for one, other in held_out)


def test_documents_are_found_by_row_and_token_across_parts(tmp_path: Path) -> None:
    sizes = [5, 40, 17, 90, 3]
    write_corpus(tmp_path, {"code": sizes}, {"code": 150}, 2)
    data = PartedTokens(tmp_path, read_manifest(tmp_path).domains["code"].train_parts)
    assert (data.num_documents, data.num_tokens) == (5, sum(sizes))
    assert data.lengths().tolist() == sizes
    assert data.lengths(1, 4).tolist() == sizes[1:4]
    starts = np.cumsum(sizes) - sizes
    assert [data.start(row) for row in range(5)] == starts.tolist()
    rows = np.repeat(np.arange(5), sizes)
    assert [data.row_at(offset) for offset in range(sum(sizes))] == rows.tolist()
    assert data.read(3, 88, 9).tolist() == [10 + 300 + 88, 9]
    with pytest.raises(IndexError, match="document 5 of 5"):
        data.read(5)
    assert PartedTokens(tmp_path, ()).lengths().tolist() == []


def test_parts_are_opened_where_they_are_read_and_few_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = list[str]()

    def watch(prefix: Path) -> object:
        opened.append(prefix.name)
        return open_indexed(prefix)

    monkeypatch.setattr(parts, "open_indexed", watch)
    monkeypatch.setattr(parts, "_MOST_OPEN", 4)
    write_corpus(tmp_path, {"web": [16] * 40}, {"web": 16 * 40 + 1}, 1)
    stream = TokenStream(tmp_path, 1, 16)
    stream.document_ids("web")
    stream.held_out("web")
    assert opened == []
    stream.sample(0)
    assert 1 <= len(set(opened)) <= 3  # where the epoch begins, and what the sample is of
    data = PartedTokens(tmp_path, stream.manifest.domains["web"].train_parts)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert [len(data.read(row)) for row in range(40)] == [16] * 40
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2 * 4


def test_ids_come_in_groups_of_one_size_wherever_tables_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("k2core.tokens.documents._TOGETHER", 3)
    write_corpus(tmp_path, {"web": [8] * 8}, {"web": 60}, 2)
    manifest = read_manifest(tmp_path)
    ids = PartedTokens(tmp_path, manifest.domains["web"].train_parts).document_ids()
    assert [len(group) for group in ids.groups()] == [3, 3, 2]
    assert [ids[row] for row in range(8)] == [f"web{row}" for row in range(8)]
    two = DocumentIds.of(["a", "b", "a"])
    assert (len(two), two.rows_of("a"), two[1]) == (3, [0, 2], "b")
    wrong = [part.num_documents + 1 for part in manifest.domains["web"].train_parts]
    tables = [tmp_path / f"{p.name}.parquet" for p in manifest.domains["web"].train_parts]
    with pytest.raises(ValueError, match=r"000000\.parquet has too few rows"):
        next(DocumentIds(tables, counts=wrong).groups())


def test_a_part_that_is_not_what_the_manifest_says_is_refused(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"web": [50, 30]}, {"web": 80})
    path = tmp_path / "manifest.json"
    said = json.loads(path.read_text())
    (part,) = said["domains"]["web"]["train_parts"]
    for field, message in (
        ("num_documents", r"web/000000\.bin holds 2 documents; manifest\.json says 3"),
        ("num_tokens", r"web/000000\.bin holds 80 tokens; manifest\.json says 81"),
    ):
        told = TokenPart(**{**part, field: part[field] + 1})
        with pytest.raises(ValueError, match=message):
            PartedTokens(tmp_path, [told]).read(0)
    part["num_tokens"] += 1
    path.write_text(json.dumps(said))
    with pytest.raises(InputsError, match="train_parts hold 2 documents and 81 tokens, and the"):
        TokenStream(tmp_path, 0, 16)


def test_tokens_in_one_file_a_domain_are_refused_in_words(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"web": [50]}, {"web": 50})
    path = tmp_path / "manifest.json"
    said = json.loads(path.read_text())
    del said["domains"]["web"]["train_parts"], said["domains"]["web"]["heldout_parts"]
    path.write_text(json.dumps(said))
    with pytest.raises(InputsError, match=r"manifest\.json: domains\.web\.train_parts: Field req"):
        TokenStream(tmp_path, 0, 16)


@pytest.mark.parametrize("vocab_size", [2048, 65_499, 65_500, 163_840])
def test_an_index_is_megatrons_own(tmp_path: Path, vocab_size: int) -> None:
    megatron = megatrons_own()
    dtype = megatron.DType.optimal_dtype(vocab_size)
    assert token_type(vocab_size) == dtype
    documents = [np.arange(size) for size in (3, 1, 7)]
    assert write_indexed(tmp_path / "ours", documents, vocab_size) == [3, 1, 7]
    builder = megatron.IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype)
    for document in documents:
        builder.add_document(document, [len(document)])
    builder.finalize(str(tmp_path / "theirs.idx"))
    for suffix in ("bin", "idx"):
        ours, theirs = (tmp_path / f"{name}.{suffix}" for name in ("ours", "theirs"))
        assert ours.read_bytes() == theirs.read_bytes()
    assert write_index(tmp_path / "none", [], vocab_size) == 0
