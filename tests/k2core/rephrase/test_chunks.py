from hypothesis import given
from hypothesis import strategies as st

from k2core.rephrase.chunks import split_chunks, split_sections, split_sentences
from tests.k2core.rephrase.lighthouses import original

TEXTS = st.lists(
    st.sampled_from(["Dr. ", "a b. ", "It is! ", '"No?" ', "3.5 ", "A. Bee ", "\n\n", "(x) ", "é "])
).map("".join)


def letters(text: str) -> str:
    return "".join(text.split())


@given(TEXTS, st.integers(1, 40))
def test_nothing_is_lost_but_white_space(text: str, max_tokens: int) -> None:
    chunks = split_chunks(text, max_tokens, len)
    assert letters("".join(chunks)) == letters(text)
    assert all(chunk.strip() for chunk in chunks)


@given(TEXTS, st.integers(1, 40))
def test_every_chunk_fits_spaces_between_sentences_aside(text: str, max_tokens: int) -> None:
    for chunk in split_chunks(text, max_tokens, len):
        assert len(chunk) - chunk.count(" ") <= max_tokens


def test_a_chunk_is_as_full_as_can_be() -> None:
    assert split_chunks("Aa. Bb. Cc. Dd. Ee.", 7, len) == ["Aa. Bb.", "Cc. Dd.", "Ee."]
    assert split_chunks(" \n ", 7, len) == []


def test_a_sentence_too_long_is_cut_where_it_pauses() -> None:
    text = "Keepers, who lived there, lit the lamp; fishermen saw it from afar."
    assert split_chunks(text, 45, len) == [
        "Keepers, who lived there, lit the lamp;",
        "fishermen saw it from afar.",
    ]
    assert split_chunks("one two three four", 10, len) == ["one two", "three four"]
    assert split_chunks("x" * 10, 6, len) == ["x" * 5, "x" * 5]


def test_sections_begin_with_their_headings() -> None:
    text = "Lighthouses\n\nThey shine.\n\nAt night, too.\n\n## Keepers\n\nThey live there."
    first, second = split_sections(text)
    assert first == "Lighthouses\n\nThey shine.\n\nAt night, too."
    assert second == "## Keepers\n\nThey live there."
    assert split_sections("One line.") == ["One line."]
    assert split_sections("Title\n\nSubtitle\n\nText.") == ["Title\n\nSubtitle\n\nText."]


def test_sentences_end_where_readers_end_them() -> None:
    assert len(split_sentences(original(0))) == 3
    for whole in ("Dr. Smith met J. R. Jones.", "It is 3.5 or e.g. four.", "He (A. Lee) left."):
        assert split_sentences(whole) == [whole]
    assert split_sentences('He said "Go." Then 3 left! A\nlist') == [
        'He said "Go."',
        "Then 3 left!",
        "A",
        "list",
    ]
