"""Drafts, sentences and rules: what stands is what the gate lets pass."""

from pathlib import Path

import pytest

from k2core.rephrase.editor import EditedWords, FirstDraft, GateEditor, Written
from k2core.rephrase.fidelity import find_fault, score_rewrite
from k2core.rephrase.rewrite import EngineWriter, Prompter, rewrite_with
from k2core.rephrase.sample import RewriteSource
from k2core.rephrase.styles import RewriteJob, load_styles
from schemas.rephrase import FidelityConfig
from tests.k2core.rephrase.lighthouses import Writer, config_for, faithful, original

EDITOR = GateEditor(FidelityConfig())
GOOD = faithful(0)
INVENTED = GOOD.replace("1843", "1844")
WORDS = len(GOOD.split())


def test_the_first_draft_that_passes_stands_as_it_is() -> None:
    drafts = [Written(INVENTED, cut=False), Written(GOOD, cut=True), Written(GOOD, cut=False)]
    assert EDITOR.edit(original(0), drafts) == (GOOD, EditedWords(by_model=WORDS), False)
    assert FirstDraft().edit(original(0), drafts).text == INVENTED


def test_one_bad_sentence_is_taken_from_another_draft_or_the_source() -> None:
    """A draft of three sentences errs in the first, another in the rest; who said what is told."""
    first, *rest = GOOD.split(". ")
    other = f"{first}. Nobody knows who lived there."
    drafts = [Written(INVENTED, cut=False), Written(other, cut=False)]
    assert EDITOR.edit(original(0), drafts) == (GOOD, EditedWords(by_model=WORDS), False)
    source = original(0).partition(". ")[0] + "."
    text, wording, cut = EDITOR.edit(original(0), drafts[:1])
    assert text == f"{source} {'. '.join(rest)}"
    assert (wording.by_source, cut) == (len(source.split()), False)


def test_two_sentences_may_stand_for_one() -> None:
    chunk = "Keepers lived beside the tower with their families, and fishermen steered by its lamp."
    said = (
        "Next to the tower lived keepers and their families. Fishermen found their way by its lamp."
    )
    drafts = [Written(f"{said} Nobody knows more than that", cut=True)]
    assert EDITOR.edit(chunk, drafts).text == said


@pytest.mark.parametrize(
    ("rewrite", "share"),
    [
        (original(0), 0.0),
        (original(0).replace("many wrecks", "numerous wrecks").replace("whole", "full"), 0.0),
        (GOOD, 1.0),
    ],
)
def test_words_exchanged_here_and_there_are_no_rewrite(rewrite: str, share: float) -> None:
    scores = score_rewrite(original(0), rewrite, cut=False)
    assert scores["reworded"] == share
    assert (find_fault(scores, FidelityConfig(max_copied=1.0)) == "hardly_changed") == (not share)


def test_drafts_have_seeds_and_a_temperature_of_their_own(rephraser: Path) -> None:
    engine = Writer(rephraser)
    config = config_for(rephraser, drafts=3, repair=True, temperature=0.0, draft_temperature=0.7)
    (style,) = load_styles(["plain"])
    job = RewriteJob(RewriteSource("d", "s", "d", "knowledge", "MIT", original(0)), style)
    writer = EngineWriter(engine, Prompter(rephraser, config))
    ((_, rewriting),) = rewrite_with(config, [job], writer)
    assert rewriting.text == faithful(0)
    assert [how.temperature for how in engine.sampling] == [0.0, 0.7, 0.7]
    assert len({how.seed for how in engine.sampling}) == 3
    assert rewriting.num_tokens == 3 * (len(faithful(0)) + 1)
