import pytest

from k2core.ablations.facts import NUM_STYLES, QUESTIONS, VALUES, WORDINGS, Language, make_people
from k2core.ablations.rephrasing import ARMS, _mixed, _pack, draw_arms, tabulate_arms

PEOPLE = make_people(30, seed=0)
LANGUAGE = Language(30)


@pytest.mark.parametrize("style", range(NUM_STYLES + 1))
def test_a_document_tells_all_facts_in_words_of_its_own(style: int) -> None:
    told = LANGUAGE.tell(PEOPLE[0], style)
    values = {LANGUAGE.ask(PEOPLE[0], kind).tokens[-1] for kind in QUESTIONS}
    assert {told.tokens[at] for at in told.answers} == values
    others = [LANGUAGE.tell(PEOPLE[0], s).tokens for s in range(NUM_STYLES + 1) if s != style]
    assert told.tokens not in others


def test_questions_use_no_wording_of_the_documents() -> None:
    assert all(len(texts) == NUM_STYLES + 1 == len(set(texts)) for texts in WORDINGS.values())
    told = {text.replace("{s}", "").split("{v}")[0] for t in WORDINGS.values() for text in t}
    assert not told & {text.replace("{s}", "").split("{v}")[0] for text in QUESTIONS.values()}
    assert all(len(set(words.split())) > 18 for words in VALUES.values())


def test_replayed_text_has_its_share_of_the_tokens() -> None:
    told = [LANGUAGE.tell(person, 0) for person in PEOPLE[:15]]
    first = [LANGUAGE.tell(person, 3) for person in PEOPLE[15:]]
    stream = _mixed(told, first, 0.5, seed=0)
    drawn = [next(stream).tokens for _ in range(300)]
    new = {tuple(document.tokens) for document in told}
    tokens = sum(len(d) for d in drawn if tuple(d) in new)
    assert tokens / sum(map(len, drawn)) == pytest.approx(2 / 3, abs=0.02)


def test_attention_and_loss_stay_within_documents() -> None:
    batch = _pack(iter([LANGUAGE.tell(p, 1) for p in PEOPLE]), rows=2, width=40)
    starts = batch.tokens[:, 1:] == LANGUAGE.tell(PEOPLE[0], 0).tokens[0]
    assert (batch.segments[:, 1:] != batch.segments[:, :-1]).equal(starts)
    assert (batch.loss_mask[:, :-1] == 0).equal(starts)


def test_the_table_has_means_and_spreads() -> None:
    rows = [
        {"arm": arm, "seed": seed, "question": 0.2 + 0.2 * seed, "own_wording": 1.0, "taught": 0.9,
         "tokens": 1000}
        for arm in ARMS
        for seed in (0, 1)
    ]  # fmt: skip
    assert "| raw x 10 | 30.0 ± 14.1 | 100.0 ± 0.0 | 90.0 ± 0.0 | 2 | 1,000 |" in tabulate_arms(
        rows
    )
    assert draw_arms(rows).axes[0].get_ylabel() == "facts told, %"
