"""What `bench.pii`'s labelled lines show of privacy."""

import pytest

from bench.pii import find_ours, tally
from bench.pii_lines import make_lines
from k2core.clean.personal import KINDS

LINES = make_lines()
FOUND = [find_ours(line.text) for line in LINES]


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_labelled_values_go_and_nothing_else_does(kind: str) -> None:
    """Of cards 13 are missed: sixteen digits that no word calls a card's."""
    found = tally(LINES, FOUND, (kind,))
    assert found.false == 0
    assert found.found + found.missed > 140
    assert found.missed == (13 if kind == "card" else 0)


def test_the_set_is_the_same_each_time() -> None:
    assert make_lines() == LINES
    assert len(LINES) == 2000
    assert sum(not line.spans for line in LINES) == 1000
