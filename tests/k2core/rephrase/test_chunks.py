from hypothesis import given
from hypothesis import strategies as st

from k2core.rephrase.chunks import split_chunks, split_sentences
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
def test_a_chunk_is_one_sentence_or_fits(text: str, max_tokens: int) -> None:
    sentences = split_sentences(text)
    for chunk in split_chunks(text, max_tokens, len):
        used = []
        while " ".join(used) != chunk:
            used.append(sentences.pop(0))
        assert len(used) == 1 or sum(map(len, used)) <= max_tokens
    assert not sentences


def test_a_chunk_is_as_full_as_can_be() -> None:
    assert split_chunks("Aa. Bb. Cc. Dd. Ee.", 7, len) == ["Aa. Bb.", "Cc. Dd.", "Ee."]
    assert split_chunks("Aa. A much longer sentence. Bb.", 7, len) == [
        "Aa.",
        "A much longer sentence.",
        "Bb.",
    ]
    assert split_chunks(" \n ", 7, len) == []


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
