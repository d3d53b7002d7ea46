"""Prose as notes: a line a statement, without articles, what is spoken of before a colon."""

from collections.abc import Sequence

from k2core.rephrase.chunks import split_heading, split_sections, split_sentences
from k2core.rephrase.restate.clauses import Clause, find_pieces
from k2core.rephrase.restate.lists import turn_lists
from k2core.rephrase.restate.words import Word, capitalise, join, tag

_ARTICLES = ("a", "an", "the")
_KEPT = ("few", "little", "lot", "number", "great", "many", "good")
"""`a few` is not `few`."""


def write_notes(text: str) -> str:
    """Headings stay; of each section the notes, those that tell what it is first."""
    parts = []
    for section in split_sections(text):
        heading, body = split_heading(section)
        lines = [
            line for sentence in split_sentences(body) for line in note_sentence(sentence, heading)
        ]
        parts.append("\n".join([*([f"{heading}\n"] if heading else []), *lines]))
    return "\n\n".join(parts)


def note_sentence(sentence: str, title: str) -> list[str]:
    """The notes of a sentence; one that is not understood stays as it is."""
    pieces = find_pieces(tag(sentence))
    if not pieces:
        return [f"- {sentence}"]
    return [f"- {note_piece(piece, title)}." for piece in pieces]


def note_piece(piece: Clause, title: str) -> str:
    """A statement as a note."""
    said = turn_lists(shorten(_drop_auxiliary(_put_adverbs_first(piece.said))))
    label, text = _label(piece, title), join(said)
    if label:
        text = f"{label}: {text}"
    if piece.when:
        begun = text if label or said[0].has("NP") else text[0].lower() + text[1:]
        text = f"{join(shorten(piece.when))}: {begun}"
    return capitalise(text)


def shorten(words: Sequence[Word]) -> list[Word]:
    """Without articles, but in names such as Constantine the Great."""
    kept = []
    for at, word in enumerate(words):
        after = words[at + 1] if at + 1 < len(words) else None
        inside = at and words[at - 1].has("NP") and after is not None and after.text[0].isupper()
        than = at and words[at - 1].text in ("than", "such", "half", "per")
        kept_for = after is not None and after.text in _KEPT
        if word.text.lower() in _ARTICLES and not (inside or than or kept_for):
            continue
        kept.append(word)
    return kept


def _label(piece: Clause, title: str) -> str:
    about = piece.about
    if not about or about[0].has("PNP", "EX0") or _same(join(about), title):
        return ""
    return join(shorten(about))


def _same(about: str, title: str) -> bool:
    """Whether a subject is what the heading names."""
    said = {word.lower().removesuffix("s") for word in about.split()} - {*_ARTICLES}
    named = {word.lower().removesuffix("s") for word in title.replace(",", " ").split()}
    return bool(said) and said <= named


def _put_adverbs_first(said: list[Word]) -> list[Word]:
    """`usually begins`: adverbs that the clause has after its verb, for questions, go before it."""
    verb, rest = said[0], said[1:]
    num = next((i for i, word in enumerate(rest) if not word.has("AV0")), 0)
    return [*rest[:num], verb, *rest[num:]] if verb.has("VV") else said


def _drop_auxiliary(said: list[Word]) -> list[Word]:
    """`is a city` and `was founded` lose nothing with their first word; `was a city` does."""
    if len(said) > 1 and (said[0].has("VBZ", "VBB") or (said[0].has("VBD") and said[1].has("VVN"))):
        if said[0].lemma and (said[1].has("XX0", "VVG") or said[0].text[0] in "'’"):
            return said
        return said[1:]
    return said
