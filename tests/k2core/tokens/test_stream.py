from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k2core.tokens import Share, TokenStream, open_indexed
from tests.k2core.tokens.token_corpus import END, megatrons_own, write_corpus

LENGTHS = {"code": [5, 40, 17, 90], "math": [7] * 30, "web": [300]}
BUDGETS = {"code": 400, "math": 210, "web": 250}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, LENGTHS, BUDGETS)
    return folder


def test_reads_what_megatron_reads(folder: Path) -> None:
    upstream = megatrons_own().IndexedDataset(str(folder / "train/code/000000"))
    ours = open_indexed(folder / "train/code/000000")
    assert len(upstream) == len(ours.lengths) == 4
    assert ours.tokens.dtype == np.uint16
    for index in range(4):
        np.testing.assert_array_equal(ours.read(index), upstream[index])


def test_a_sample_is_its_documents(folder: Path) -> None:
    stream = TokenStream(folder, seed=3, sequence_length=32)
    for index in range(stream.num_samples):
        tokens, segments = stream.sample(index)
        assert tokens.dtype == segments.dtype == np.int64
        assert tokens.shape == segments.shape == (33,)
        spans = stream.trace(index)
        for segment, span in enumerate(spans):
            found = tokens[segments == segment]
            size = LENGTHS[stream.domain_of(index)][span.row]
            whole = np.append(100 * span.row + 10 + np.arange(size - 1), END)
            np.testing.assert_array_equal(found, whole[span.start : span.start + span.length])
            name = stream.domain_of(index)
            assert stream.document_ids(name)[span.row] == f"{name}{span.row}"


def test_an_epoch_reads_each_token_once(folder: Path) -> None:
    stream = TokenStream(folder, seed=3, sequence_length=16)
    seen: Counter[tuple[int, int, int]] = Counter()
    for index in range(stream.num_samples):
        if stream.domain_of(index) == "code":
            position = 0
            for span in stream.trace(index):
                for offset in range(span.start, span.start + span.length):
                    seen[span.epoch, span.row, offset] += position < 16
                    position += 1
    first = {key: count for key, count in seen.items() if key[0] == 0}
    assert len(first) == sum(LENGTHS["code"])
    assert set(seen.values()) <= {0, 1}


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), sequence_length=st.integers(4, 60))
def test_every_prefix_holds_the_mixture(folder: Path, seed: int, sequence_length: int) -> None:
    stream = TokenStream(folder, seed, sequence_length)
    names = [stream.domain_of(index) for index in range(stream.num_samples)]
    share = {name: names.count(name) / len(names) for name in BUDGETS}
    for name, budget in BUDGETS.items():
        assert names.count(name) == (budget - 1) // sequence_length
        for stop in range(1, len(names) + 1):
            assert abs(names[:stop].count(name) - share[name] * stop) <= 2


def test_random_access_equals_sequential_reading(folder: Path) -> None:
    sequential = TokenStream(folder, seed=5, sequence_length=24)
    rows = [sequential.sample(index).tokens for index in range(sequential.num_samples)]
    resumed = TokenStream(folder, seed=5, sequence_length=24)
    for index in reversed(range(resumed.num_samples)):
        np.testing.assert_array_equal(resumed.sample(index).tokens, rows[index])


def test_the_seed_sets_the_order(folder: Path) -> None:
    one, two = (TokenStream(folder, seed, 16) for seed in (1, 2))
    assert one.num_samples == two.num_samples
    assert any((one.sample(i).tokens != two.sample(i).tokens).any() for i in range(8))


def test_every_token_knows_the_samples_that_read_it(folder: Path) -> None:
    stream = TokenStream(folder, seed=3, sequence_length=16)
    traced: dict[tuple[str, int, int], set[tuple[int, int, int]]] = {
        (name, row, token): set() for name in LENGTHS for row in range(30) for token in (0, 6)
    }
    for index in range(stream.num_samples):
        column = 0
        for span in stream.trace(index):
            for token in range(span.start, span.start + span.length):
                key = (stream.domain_of(index), span.row, token)
                if key in traced and column < 16:  # the last column is a label only
                    traced[key].add((index, column, span.epoch))
                column += 1
    found = {
        (name, row, token): {tuple(r) for r in stream.readings(name, row, token)}
        for name, sizes in LENGTHS.items()
        for row, size in enumerate(sizes)
        for token in (0, 6)
        if token < size
    }
    assert found == {key: traced[key] for key in found}
    assert sum(map(len, found.values())) > 60
    assert stream.readings("poetry", 0, 0) == []


def test_held_out_documents_are_whole(folder: Path) -> None:
    documents = list(TokenStream(folder, 0, 16).held_out("code"))
    assert [len(document) for document in documents] == LENGTHS["code"]
    assert all(document[-1] == END for document in documents)
    with pytest.raises(KeyError, match=r"no domain 'maths': there are \['code', 'math', 'web'\]"):
        TokenStream(folder, 0, 16).held_out("maths")


def test_errors_name_the_file_and_the_limit(tmp_path: Path, folder: Path) -> None:
    stream = TokenStream(folder, 0, 16)
    with pytest.raises(IndexError, match=f"sample {stream.num_samples} of {stream.num_samples}"):
        stream.sample(stream.num_samples)
    with pytest.raises(ValueError, match="fills one sequence of 4096 tokens"):
        TokenStream(folder, 0, 4096)
    write_corpus(tmp_path, {"web": [50]}, {"web": 50})
    binary = tmp_path / "train/web/000000.bin"
    binary.write_bytes(binary.read_bytes()[:-2])
    with pytest.raises(ValueError, match=r"web/000000\.bin has 98 bytes; its index says 100"):
        TokenStream(tmp_path, 0, 16).sample(0)
    (tmp_path / "train/web/000000.idx").write_bytes(b"not an index")
    with pytest.raises(ValueError, match=r"web/000000\.idx is not a Megatron index"):
        TokenStream(tmp_path, 0, 16).sample(0)


def _positions(stream: TokenStream) -> Counter[tuple[str, int, int, int]]:
    """How often each token is an input, by domain, epoch, row and offset."""
    seen: Counter[tuple[str, int, int, int]] = Counter()
    for index in range(stream.num_samples):
        places = [
            (stream.domain_of(index), span.epoch, span.row, offset)
            for span in stream.trace(index)
            for offset in range(span.start, span.start + span.length)
        ]
        seen.update(places[: stream.sequence_length])
    return seen


def test_shares_of_two_lengths_read_text_of_their_own(folder: Path) -> None:
    short = TokenStream(folder, 3, 8, Share(0.0, 0.6))
    long = TokenStream(folder, 3, 32, Share(0.6, 1.0))
    seen = _positions(short) + _positions(long)
    assert max(seen.values()) == 1
    budget = sum(BUDGETS.values())
    assert short.num_samples * 8 > 0.6 * budget - 3 * 9
    assert long.num_samples * 32 > 0.4 * budget - 3 * 33
    assert {long.domain_of(i) for i in range(long.num_samples)} == set(BUDGETS)


def test_ranks_of_any_number_see_the_same_global_batches(folder: Path) -> None:
    """A rank reads its rows alone: what another layout reads together is what one reads."""
    whole = TokenStream(folder, 7, 8)
    batch = [whole.sample(index).tokens for index in range(12)]
    for num_ranks in (2, 3, 4):
        rows = []
        for rank in range(num_ranks):
            alone = TokenStream(folder, 7, 8)
            share = 12 // num_ranks
            rows += [alone.sample(i).tokens for i in range(rank * share, (rank + 1) * share)]
        assert all(np.array_equal(a, b) for a, b in zip(rows, batch, strict=True))


def test_epochs_are_cut_anew_and_read_in_another_order(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"web": [16] * 40}, {"web": 16 * 40 * 3 + 1})
    stream = TokenStream(tmp_path, 1, 16)
    assert stream.num_samples == 120
    rows = [stream.trace(index)[0].row for index in range(120)]
    epochs = [rows[:40], rows[40:80], rows[80:]]
    assert all(sorted(epoch) == list(range(40)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
