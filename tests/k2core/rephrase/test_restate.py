"""Rules restate a document's own sentences; the gate judges them as it judges the model."""

import json

import pytest

from k2core.rephrase import outcome
from k2core.rephrase.outcome import judge_writers
from k2core.rephrase.restate import RestatedForm, fitting_forms
from k2core.rephrase.restate.cards import write_cards
from k2core.rephrase.restate.notes import write_notes
from k2core.rephrase.restate.worked import write_worked
from k2core.rephrase.rewrite import Rewriting
from k2core.rephrase.sample import RewriteSource
from k2core.rephrase.show import list_yield
from k2core.rephrase.styles import RewriteJob, Style
from schemas.rephrase import RephraseConfig

SEURAT = """Georges Seurat

Georges Pierre Seurat was a French post-Impressionist artist. He devised the painting techniques \
known as chromoluminarism and pointillism and used conté crayon for drawings on paper with a rough \
surface."""
CONFIG = RephraseConfig(writers=("model", "rules"))
PLAIN = Style("plain@2", ("knowledge",), ("en",), "Rewrite.")


@pytest.mark.parametrize(
    ("sentence", "cards"),
    [
        ("A rivet is a fastener.", ["What is a rivet?", "Fastener."]),
        (
            "Yangon, also known as Rangoon, is a city in Myanmar.",
            ["What is Yangon also known as?", "Rangoon.", "What is Yangon?", "City in Myanmar."],
        ),
        (
            "It was founded by Mary Kay in 1908.",
            ["Who was it founded by?", "Mary Kay in 1908."],
        ),
        ("It was completed in 1945.", ["When was it completed?", "In 1945."]),
        (
            "In 1966, Friedan founded the National Organization for Women.",
            ["What did Friedan found, in 1966?", "National Organization for Women."],
        ),
        (
            "Its conductivity can be modified by adding impurities to it.",
            ["How can its conductivity be modified?", "By adding impurities to it."],
        ),
        # of whom a clause speaks is not sure: it stays in its piece
        (
            "She was a sister of the king who led the army.",
            ["Who was she?", "Sister of king who led army."],
        ),
        # a negated one, one without a subject, a subordinate one: nothing is asked
        ("It was not a city.", ["Was not city."]),
        ("When they meet, they form a junction.", ["When they meet, they form a junction."]),
        ("There are three kinds of it.", ["There are three kinds of it."]),
        # the cities may be old as well
        ("It has old towns and cities.", ["What does it have?", "Old towns and cities."]),
        ("It has towns, parks and lakes.", ["What does it have?", "Lakes, parks and towns."]),
    ],
)
def test_a_clause_is_asked_for_its_complement(sentence: str, cards: list[str]) -> None:
    assert write_cards(sentence).split("\n") == cards


def test_a_pronoun_is_the_topic_only_as_long_as_nothing_else_was_spoken_of() -> None:
    said = write_cards("A lake is a body of water. It has fish. The shore is a beach. It has sand.")
    assert "What does a lake have?\nFish." in said
    assert "What does it have?\nSand." in said


def test_notes_leave_out_articles_but_not_what_an_article_changes() -> None:
    assert write_notes("A cat is a pet with a few more than a hundred habits.") == (
        "- A cat: pet with a few more than a hundred habits.".replace("A cat", "Cat")
    )
    assert write_notes("Constantine the Great was an emperor.").startswith(
        "- Constantine the Great"
    )


@pytest.mark.parametrize(
    ("source", "notes"),
    [
        (
            "Question: Add 65 and 48.\nWorking: ones: 5 + 8 = 13, write 3, carry 1; "
            "tens: 6 + 4 + 1 = 11, write 1.\nAnswer: 113",
            "To do: add 65 and 48.\nSteps:\n- ones 5 + 8 = 13: carry 1, write 3.\n"
            "- tens 6 + 4 + 1 = 11: write 1.\nAnswer found: 113.",
        ),
        (
            "Question: Which is larger, 855 or 825?\nWorking: 8 = 8; 5 > 2.\nAnswer: 855",
            "To find: which is the larger of 855 and 825.\nSteps:\n- 8 = 8.\n- 5 > 2.\n"
            "Answer found: 855.",
        ),
        (
            '{"name":"ann","age":"7"}\nThe age of ann is 7.\n'
            'Question: What is the age of "ann"? Answer: 7',
            'Record of ann: age 7.\n- ann has the age 7.\n- What age does "ann" have? Answer: 7.',
        ),
        (
            "Table of the age: ann 7, bob 9.\nbob: 9",
            "Each age: 7 for ann, 9 for bob.\n- bob has 9.",
        ),
        ('{"name": ["no record"]}', '{"name": ["no record"]}'),
    ],
)
def test_an_exercise_becomes_a_learning_note(source: str, notes: str) -> None:
    assert write_worked(source) == notes


def test_the_first_writer_whose_text_passes_stands_and_all_are_counted() -> None:
    copied = Rewriting(SEURAT, 1, 9, cut=False)
    model, rules = judge_writers(CONFIG, _job(), copied)
    assert (model.reason, rules.reason) == ("copies_the_source", "")
    assert (model.row["writer"], rules.row["writer"]) == ("model", "rules")
    assert rules.row["prompt_id"] == "cards@1"
    assert rules.row["doc_id"] != model.row["doc_id"]
    assert [model] == judge_writers(
        CONFIG.model_copy(update={"writers": ("model",)}), _job(), copied
    )
    passed = [(row["writer"], row["passed"], row["share"]) for row in list_yield([model, rules])]
    assert passed == [("model", 0, "0%"), ("rules", 1, "100%"), ("all", 1, "100%")]


def test_rules_that_err_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they write is held to the same limits: a name lost, a number or a statement invented."""
    cards = fitting_forms("knowledge")[0]

    def spoil(text: str) -> str:
        return cards.write(text).replace("Georges Pierre Seurat", "Oskar Kokoschka")

    monkeypatch.setattr(outcome, "fitting_forms", lambda _: [RestatedForm(cards.style, spoil)])
    _, rules = judge_writers(CONFIG, _job(), Rewriting(SEURAT, 1, 9, cut=False))
    assert rules.reason in ("loses_entities", "invents_entities")
    assert json.loads(rules.row["scores"])["entities_invented"] > 0


def _job() -> RewriteJob:
    document = RewriteSource("d", "wiki", "seurat", "knowledge", "CC0-1.0", SEURAT)
    return RewriteJob(document, PLAIN)
