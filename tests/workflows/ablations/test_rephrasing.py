import pytest

from workflows.ablations.facts import (
    NAMES,
    NUM_STYLES,
    QUESTIONS,
    VALUES,
    WORDINGS,
    FactDocument,
    FactLanguage,
    Text,
    ask,
    find_stated,
    make_people,
    split_words,
    tell,
)
from workflows.ablations.rephrasing import _mixed, _pack, _rounds, draw_arms, tabulate_arms
from workflows.ablations.worlds import ARMS, list_questions, list_told

PEOPLE = make_people(30, seed=0)
LANGUAGE = FactLanguage(text.text for text in list_told(PEOPLE) + list_questions(PEOPLE))


@pytest.mark.parametrize("style", range(NUM_STYLES + 1))
def test_a_document_tells_all_facts_in_words_of_its_own(style: int) -> None:
    told = LANGUAGE.encode(tell(PEOPLE[0], style))
    values = {LANGUAGE.encode(ask(PEOPLE[0], kind)).tokens[-1] for kind in QUESTIONS}
    assert {told.tokens[at] for at in told.answers} == values
    others = [tell(PEOPLE[0], s).text for s in range(NUM_STYLES + 1) if s != style]
    assert tell(PEOPLE[0], style).text not in others


def test_a_question_has_one_answer_its_last_word() -> None:
    told = LANGUAGE.encode(ask(PEOPLE[3], "trade"))
    assert told.answers == [len(told.tokens) - 1]


def test_questions_use_no_wording_of_the_documents() -> None:
    assert all(len(texts) == NUM_STYLES + 1 == len(set(texts)) for texts in WORDINGS.values())
    told = {text.replace("{s}", "").split("{v}")[0] for t in WORDINGS.values() for text in t}
    assert not told & {text.replace("{s}", "").split("{v}")[0] for text in QUESTIONS.values()}


def test_a_name_or_value_is_no_other_word_of_the_language() -> None:
    values = [value for words in VALUES.values() for value in words.split()]
    wordings = [text for texts in WORDINGS.values() for text in texts]
    words = set(split_words(" ".join([*wordings, *QUESTIONS.values()])))
    assert len(set(values)) == 80
    assert len(set(values) | set(NAMES.split())) == 80 + len(NAMES.split())
    assert not words & {*values, *NAMES.split()}
    articles = ("a", "e", "i", "o", "u")
    assert not any(v.startswith(articles) for k in ("trade", "animal") for v in VALUES[k].split())


def test_documents_are_english_that_a_model_can_rewrite() -> None:
    person = PEOPLE[0]._replace(
        name="Vera",
        facts={"town": "holt", "trade": "smith", "instrument": "lute", "animal": "wolf"},
    )
    assert tell(person, 0).text == (
        "Vera was born in Holt. Vera worked as a smith. Vera played the lute. Vera kept a wolf."
    )
    assert tell(person, 5).text.startswith("In Holt lived the parents of Vera. A tame wolf")


def test_more_people_than_names_are_refused() -> None:
    with pytest.raises(ValueError, match="= 999: there are only 158 names"):
        make_people(999, seed=0)


def test_free_text_is_cut_into_words_and_its_facts_are_found_where_first_said() -> None:
    person = PEOPLE[0]
    town, trade = person.facts["town"], person.facts["trade"]
    said = f"**{person.name}**'s trade:\n{trade}! A {trade} of {town.upper()}, not {town}ville."
    assert split_words(said)[:7] == ["*", "*", person.name.lower(), "*", "*", "'", "s"]
    assert find_stated(person, said) == {"town", "trade"}
    language = FactLanguage([said])
    told = language.encode(Text(person, said))
    assert told.answers == [10, 15]
    with pytest.raises(ValueError, match="'unheard' of 'Unheard' is no word"):
        language.encode(Text(person, "Unheard"))


def test_a_round_reads_one_text_of_everybody() -> None:
    told = [[FactDocument([person, text], []) for text in range(4)] for person in range(5)]
    stream = _rounds(told, seed=1)
    drawn = [[next(stream).tokens for _ in range(5)] for _ in range(8)]
    assert all(sorted(person for person, _ in some) == list(range(5)) for some in drawn)
    for person in range(5):
        texts = [text for some in drawn for p, text in some if p == person]
        assert sorted(texts[:4]) == [0, 1, 2, 3]
        assert texts[:4] == texts[4:]
    assert len({tuple(person for person, _ in some) for some in drawn}) > 4


def test_replayed_text_has_its_share_of_the_tokens() -> None:
    told = [[LANGUAGE.encode(tell(person, 0))] for person in PEOPLE[:15]]
    first = [LANGUAGE.encode(tell(person, 3)) for person in PEOPLE[15:]]
    stream = _mixed(_rounds(told, seed=0), first, 0.5, seed=0)
    drawn = [next(stream).tokens for _ in range(300)]
    new = {tuple(some[0].tokens) for some in told}
    tokens = sum(len(d) for d in drawn if tuple(d) in new)
    assert tokens / sum(map(len, drawn)) == pytest.approx(2 / 3, abs=0.02)


def test_attention_and_loss_stay_within_documents() -> None:
    told = [LANGUAGE.encode(tell(person, 1)) for person in PEOPLE]
    batch = _pack(iter(told), rows=2, width=40)
    starts = batch.tokens[:, 1:] == told[0].tokens[0]
    assert (batch.segments[:, 1:] != batch.segments[:, :-1]).equal(starts)
    assert (batch.loss_mask[:, :-1] == 0).equal(starts)


def test_the_table_has_means_and_spreads() -> None:
    rows = [
        {"arm": arm, "seed": seed, "question": 0.2 + 0.2 * seed, "own_wording": 1.0, "taught": 0.9,
         "stated": 0.5, "reach": 0.75, "question_stated": 0.4, "texts": 8.25, "tokens": 1000}
        for arm in ARMS
        for seed in (0, 1)
    ]  # fmt: skip
    table = tabulate_arms(rows)
    assert "| raw x 10 | 30.0 ± 14.1 | 100.0 ± 0.0 | 90.0 ± 0.0 | 50.0 ± 0.0 |" in table
    assert table.endswith("| 75.0 ± 0.0 | 40.0 ± 0.0 | 8.2 | 2 | 1,000 |")
    assert len({line.count("|") for line in table.split("\n")}) == 1
    assert draw_arms(rows).axes[0].get_ylabel() == "facts, %"
