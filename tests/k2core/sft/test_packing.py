"""Packing: every dialogue once an epoch, whole, and trained on the assistant's words alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from k2core.chat import EncodedDialogue
from k2core.sft.packing import Epochs, PackedRow, build_batch, drop_long, pack


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


def test_too_many_long_dialogues_are_an_error() -> None:
    dialogues = [EncodedDialogue([1] * n, [1] * n) for n in (5, 5, 50)]
    assert len(drop_long(dialogues, 20, 0.5)) == 2
    with pytest.raises(ValueError, match="1 of 3 dialogues are longer"):
        drop_long(dialogues, 20, 0.1)
