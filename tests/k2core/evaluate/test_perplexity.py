"""Windows lose no token, and an engine of known probabilities has the known perplexity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.engines.scripted import ScriptedEngine
from k2core.evaluate.perplexity import cut_windows, measure_perplexity


def letters(tokens: object) -> str:
    return "".join(chr(97 + token % 26) for token in tokens)  # type: ignore[attr-defined]


@given(st.lists(st.integers(0, 40), max_size=6), st.integers(2, 12))
def test_every_token_but_a_documents_first_is_scored_once(lengths: list[int], size: int) -> None:
    documents = [list(range(1000 * d, 1000 * d + n)) for d, n in enumerate(lengths)]
    text = cut_windows(documents, size, 10_000, letters)
    scored = [token for window in text.windows for token in window[1:]]
    assert scored == [token for document in documents for token in document[1:]]
    assert all(2 <= len(window) <= size for window in text.windows)
    assert text.num_tokens == text.num_bytes == len(scored)


def test_the_limit_is_met_exactly() -> None:
    assert cut_windows([range(50), range(50)], 8, 60, letters).num_tokens == 60


def test_half_a_chance_a_token_is_perplexity_two() -> None:
    engine = ScriptedEngine(lambda *_: [])
    found = measure_perplexity(engine, cut_windows([range(30)], 8, 100, letters))
    assert found.perplexity == pytest.approx(2.0)
    assert found.bits_per_byte == pytest.approx(1.0)
    assert found.tokens == 29


def test_no_text_is_an_error_that_says_what_to_change() -> None:
    with pytest.raises(ValueError, match="heldout_frac"):
        measure_perplexity(ScriptedEngine(lambda *_: []), cut_windows([], 8, 9, letters))
