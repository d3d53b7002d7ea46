"""What `bench.pii`'s labelled lines show of privacy."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.pii import find_ours, tally
from bench.pii_lines import make_lines
from k2core.clean.personal import KINDS, PersonalKind
from k2core.clean.privacy import redact, redact_all

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


def test_hints_pass_over_nothing() -> None:
    texts = [line.text for line in LINES]
    given = pl.Series(texts)
    redacted, counts = redact_all(given)
    assert given.to_list() == texts  # which stay as they are
    assert redacted.to_list() == [redact(text).text for text in texts]
    assert counts == [redact(text).counts for text in texts]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_hints_pass_over_nothing_that_a_pattern_takes(kind: PersonalKind) -> None:
    @settings(max_examples=100, derandomize=True, deadline=None, database=None)
    @given(st.from_regex(kind.pattern))
    def check(text: str) -> None:
        redacted, _ = redact_all(pl.Series([text]))
        assert redacted[0] == redact(text).text

    check()


def test_what_a_placeholder_brings_together_is_seen() -> None:
    """The number is called one only where the address between is gone."""
    text = "tel: somebody.with.a.long.name@firm.org 030 1234567"
    redacted, counts = redact_all(pl.Series([text]))
    assert redacted[0] == "tel: <EMAIL> <PHONE>"
    assert counts[0]["phone"] == 1
