"""Checks of the instruction types of IFEval (arXiv:2311.07911, table 1), by kind.

A check takes its parameters and the text. Counts take `count` and `relation`: `at_least` (the
default), `at_most` or `exactly`.
"""

import re
from collections.abc import Callable, Mapping

from pydantic import JsonValue

from schemas.outside import NotJsonError, read_json

Expected = Mapping[str, JsonValue]
Check = Callable[[Expected, str], bool]

_WORD = re.compile(r"\b[\w'’-]+\b")
# Each in linear time: no run of characters is tried from its middle, or in two ways.
_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++(?=[\s\"')]|$)")
_BULLET = re.compile(r"^[^\S\n]*+[*-] \S", re.MULTILINE)
_HIGHLIGHT = re.compile(r"(?<!\*)\*{1,2}[^\S\n]*+[^*\s][^*\n]*+\*{1,2}(?!\*)")
_PLACEHOLDER = re.compile(r"\[[^\[\]\n]+\]")
_TITLE = re.compile(r"<<[^\S\n]*+[^<>\s][^<>\n]*+>>")
_RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "at_least": lambda found, count: found >= count,
    "at_most": lambda found, count: found <= count,
    "exactly": lambda found, count: found == count,
}


def _compare(expected: Expected, found: int) -> bool:
    relation, count = str(expected.get("relation", "at_least")), expected["count"]
    if relation not in _RELATIONS:
        raise ValueError(f"relation is {relation!r}; known: {', '.join(_RELATIONS)}")
    if type(count) is not int:
        raise ValueError(f"count must be a whole number, not {count!r}")
    return _RELATIONS[relation](found, count)


def _texts(expected: Expected, field: str) -> list[str]:
    values = expected[field]
    if not isinstance(values, list) or not values:
        raise ValueError(f"{field} must be a list of at least one text")
    return [str(value) for value in values]


def _counted(count: Callable[[str], int]) -> Check:
    return lambda expected, text: bool(text.strip()) and _compare(expected, count(text))


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _phrases(text: str, phrase: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE))


def _parts(text: str, separator: str) -> list[str]:
    return [part.strip() for part in re.split(separator, text)]


def _keywords(expected: Expected, text: str) -> bool:
    return all(_phrases(text, word) for word in _texts(expected, "words"))


def _forbidden(expected: Expected, text: str) -> bool:
    return bool(text.strip()) and not any(_phrases(text, w) for w in _texts(expected, "words"))


def _paragraph_starts(expected: Expected, text: str) -> bool:
    parts, at = _parts(text, r"\n\s*\n"), expected["paragraph"]
    if type(at) is not int or at < 1:
        raise ValueError(f"paragraph counts from 1, not {at!r}")
    first = _words(parts[at - 1])[:1] if at <= len(parts) else []
    return first == [str(expected["word"]).lower()]


def _json_only(_: Expected, text: str) -> bool:
    plain = text.strip()
    if plain.startswith("```"):
        plain = plain.removeprefix("```").removeprefix("json").removesuffix("```")
    try:
        read_json(plain)
    except NotJsonError:
        return False
    return True


def _two_answers(_: Expected, text: str) -> bool:
    parts = _parts(text, r"\*{6}")
    return len(parts) == 2 and all(parts) and parts[0] != parts[1]


def _sections(expected: Expected, text: str) -> bool:
    word = re.escape(str(expected["word"]))
    found = re.findall(rf"^[^\S\n]*+{word} (\d+)", text, re.MULTILINE)
    return _compare(expected, len(found)) and found == [str(i + 1) for i in range(len(found))]


def _postscript(expected: Expected, text: str) -> bool:
    marker = re.escape(str(expected["marker"]))
    return bool(re.search(rf"^[^\S\n]*+{marker}\s*\S", text, re.MULTILINE))


def _repeats(expected: Expected, text: str) -> bool:
    prompt = str(expected["prompt"]).strip()
    return text.strip().startswith(prompt) and len(text.strip()) > len(prompt)


def _end_phrase(expected: Expected, text: str) -> bool:
    phrase = str(expected["text"]).strip().lower()
    return text.strip().strip('"').lower().endswith(phrase)


def _one_of(expected: Expected, text: str) -> bool:
    said = [option for option in _texts(expected, "options") if _phrases(text, option)]
    return len(said) == 1


FORMS: dict[str, Check] = {
    "bullets": _counted(lambda text: len(_BULLET.findall(text))),
    "capital_words": _counted(lambda t: sum(w.isupper() for w in _WORD.findall(t))),
    "characters": _counted(len),
    "end_phrase": _end_phrase,
    "forbidden_words": _forbidden,
    "highlights": _counted(lambda text: len(_HIGHLIGHT.findall(_BULLET.sub("x", text)))),
    "json_only": _json_only,
    "keyword_count": lambda e, text: _compare(e, _phrases(text, str(e["word"]))),
    "keywords": _keywords,
    "letter_count": lambda e, text: _compare(e, text.lower().count(str(e["letter"]).lower())),
    "no_commas": lambda _, text: bool(text.strip()) and "," not in text,
    "one_of": _one_of,
    "paragraph_starts": _paragraph_starts,
    "paragraphs": _counted(lambda text: sum(map(bool, _parts(text, r"\n\s*\n")))),
    "placeholders": _counted(lambda text: len(_PLACEHOLDER.findall(text))),
    "postscript": _postscript,
    "quoted": lambda _, text: bool(re.fullmatch(r'"[^"]+"', text.strip())),
    "repeats_prompt": _repeats,
    "sections": _sections,
    "sentences": _counted(lambda text: len(_SENTENCE_END.findall(text))),
    "starred_paragraphs": _counted(lambda text: sum(map(bool, _parts(text, r"\*{3}")))),
    "title": lambda _, text: bool(_TITLE.search(text)),
    "two_answers": _two_answers,
    "unique_words": lambda _, text: 0 < len(_words(text)) == len(set(_words(text))),
    "words": _counted(lambda text: len(_words(text))),
}
"""Kinds of checks by name."""
