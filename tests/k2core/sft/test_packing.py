"""Packing: every dialogue once an epoch, whole, and trained on the assistant's words alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from k2core.chat import EncodedDialogue
from k2core.sft.dialogues import Dialogues
from k2core.sft.packing import Epochs, PackedRow, build_batch, pack
from k2core.tokens import write_ids, write_indexed


@given(st.lists(st.integers(1, 64), min_size=1, max_size=200), st.randoms())
def test_each_dialogue_is_in_one_row_that_holds_it(lengths: list[int], rng: object) -> None:
    order = list(range(len(lengths)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    rows = pack(lengths, 64, order)
    assert sorted(index for row in rows for index in row.dialogues) == list(range(len(lengths)))
    assert all(row.length == sum(lengths[i] for i in row.dialogues) <= 64 for row in rows)


def test_short_dialogues_share_rows() -> None:
    assert len(pack([16] * 40, 64, range(40))) == 10


def test_epochs_differ_and_repeat_exactly() -> None:
    lengths = [5 + i % 20 for i in range(100)]
    first, again = Epochs(lengths, 64, 7), Epochs(lengths, 64, 7)
    backwards = [again.row(number) for number in (90, 40, 3)]
    assert backwards == [first.row(number) for number in (90, 40, 3)]
    per_epoch = len(pack(lengths, 64, range(100)))
    assert first.row(0) != first.row(per_epoch)
    assert Epochs(lengths, 64, 8).row(0) != first.row(0)


def test_a_row_predicts_the_assistant_within_each_dialogue() -> None:
    dialogues = [
        EncodedDialogue([10, 11, 12, 13], [0, 0, 1, 1]),
        EncodedDialogue([20, 21, 22], [0, 1, 0]),
    ]
    batch = build_batch([PackedRow([0, 1], 5)], dialogues, 8, pad_id=2)
    assert batch.tokens.tolist() == [[10, 11, 12, 20, 21, 2, 2, 2]]
    assert batch.labels.tolist() == [[11, 12, 13, 21, 22, 2, 2, 2]]
    assert batch.loss_mask.tolist() == [[0, 1, 1, 1, 0, 0, 0, 0]]
    assert batch.segments.tolist() == [[0, 0, 0, 1, 1, -1, -1, -1]]
    assert batch.tokens.dtype == torch.int64


def test_an_epoch_of_several_blocks_has_each_dialogue_once() -> None:
    lengths = [3 + i % 17 for i in range(9000)]
    epochs = Epochs(lengths, 32, 5)
    number, seen = 0, list[int]()
    while epochs.epoch_of(number) == 0:
        row = epochs.row(number)
        assert row.length == sum(lengths[i] for i in row.dialogues) <= 32
        seen += row.dialogues
        number += 1
    assert sorted(seen) == list(range(9000))
    assert number <= 1.02 * len(pack(lengths, 32, range(9000)))
    assert Epochs(lengths, 32, 5).row(number) == epochs.row(number)
    assert epochs.epoch_of(2 * number + 10) in (1, 2)


def test_dialogues_are_read_from_disk_by_number(tmp_path: Path) -> None:
    ids = [[1000 + n] * size for n, size in enumerate((5, 50, 7))]
    write_indexed(tmp_path / "d", [2 * np.array(x) + (np.arange(len(x)) > 2) for x in ids], 4096)
    write_ids(tmp_path / "d", ["a", "b", "c"])
    dialogues = Dialogues(tmp_path / "d", 20, 0.5)
    assert (len(dialogues), dialogues.num_skipped) == (2, 1)
    assert dialogues.lengths.tolist() == [4, 6]
    assert dialogues[1] == EncodedDialogue(ids[2], [0, 0, 0, 1, 1, 1, 1])
    assert dialogues.name(1) == "c"
    with pytest.raises(ValueError, match=r"1 of 3 dialogues are longer .* longest has 50 tokens"):
        Dialogues(tmp_path / "d", 20, 0.1)
