"""The fidelity gate: does a rewrite say what its source says, in other words?

Surface measures only: they cannot see a swapped relation, nor a name that begins a sentence, but a
small model's errors are mostly lost or invented names and numbers. K2's own check is undisclosed.
"""

import re
from collections.abc import Sequence

from k2core.rephrase.chunks import split_sentences
from schemas.rephrase import FidelityConfig

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W\d_]+(?:[’'][^\W\d_]+)?")
_SPELLED = dict(
    zip(
        "one two three four five six seven eight nine ten eleven twelve".split(),  # noqa: SIM905
        map(str, range(1, 13)),
        strict=True,
    )
)
_META = re.compile(
    r"\bhere(?: is|'s) (?:the|a|an|your)\b|\brewrit|\brephras|\bas an ai\b"
    r"|\b(?:the|this) (?:text|passage|paragraph)\b"
    r"|\bi (?:hope|can(?:no|')t|am sorry|apologi[sz]e)\b"
    r"|^(?:sure|certainly|of course)\b|\bin (?:my|your) own words\b|\bsmollm\b",
    re.IGNORECASE | re.MULTILINE,
)
_COPY_N, _REPEAT_N, _STEM = 5, 4, 5


def score_rewrite(source: str, rewrite: str, cut: bool) -> dict[str, float]:
    """Measure a rewrite; every measure is named after the limit that it is held against."""
    given, said = _words(source), _words(rewrite)
    numbers, numbers_said = _numbers(source), _numbers(rewrite)
    names, known = _names(source), set(given)
    content, content_said = _stems(given), _stems(said)
    phrases, known_phrases = _grams(said, _COPY_N), set(_grams(given, _COPY_N))
    grams = _grams(said, _REPEAT_N)
    return {
        "numbers_kept": _share(len(numbers & numbers_said), len(numbers)),
        "entities_kept": _share(len(names & set(said)), len(names)),
        "content_kept": _share(len(content & content_said), len(content)),
        "numbers_invented": float(len(numbers_said - numbers)),
        "entities_invented": float(len(_names(rewrite) - known)),
        "content_invented": 1 - _share(len(content & content_said), len(content_said)),
        "length_ratio": len(said) / max(1, len(given)),
        "copied": sum(p in known_phrases for p in phrases) / max(1, len(phrases)),
        "repeated": 1 - _share(len(set(grams)), len(grams)),
        "meta_talk": float(len(_META.findall(rewrite)) > len(_META.findall(source))),
        "truncated": float(cut or not rewrite or rewrite[-1] not in ".!?\"'”)0123456789"),
    }


def find_fault(scores: dict[str, float], limits: FidelityConfig) -> str:
    """The first limit that the scores miss; empty if none."""
    low, high = limits.length_ratio
    faults = {
        "truncated": scores["truncated"] > 0,
        "meta_talk": scores["meta_talk"] > 0,
        "too_short": scores["length_ratio"] < low,
        "too_long": scores["length_ratio"] > high,
        "repeats_itself": scores["repeated"] > limits.max_repeated,
        "copies_the_source": scores["copied"] > limits.max_copied,
        "loses_numbers": scores["numbers_kept"] < limits.min_numbers_kept,
        "invents_numbers": scores["numbers_invented"] > limits.max_numbers_invented,
        "loses_entities": scores["entities_kept"] < limits.min_entities_kept,
        "invents_entities": scores["entities_invented"] > limits.max_entities_invented,
        "loses_content": scores["content_kept"] < limits.min_content_kept,
        "invents_content": scores["content_invented"] > limits.max_content_invented,
    }
    return next((fault for fault, found in faults.items() if found), "")


def _share(part: int, whole: int) -> float:
    """A share of nothing is all of it."""
    return part / whole if whole else 1.0


def _plain(word: str) -> str:
    return re.sub(r"[’']s?$", "", word.lower())


def _words(text: str) -> list[str]:
    return [_plain(word) for word in _WORD.findall(text)]


def _numbers(text: str) -> set[str]:
    digits = {number.replace(",", "") for number in _NUMBER.findall(text)}
    return digits | {_SPELLED[word] for word in _words(text) if word in _SPELLED}


def _names(text: str) -> set[str]:
    """Capitalised words, but those that only begin a sentence, where every word is."""
    return {
        _plain(word)
        for sentence in split_sentences(text)
        for word in _WORD.findall(sentence)[1:]
        if word[0].isupper() and word != "I"
    }


def _stems(words: Sequence[str]) -> set[str]:
    return {word[:_STEM] for word in words if len(word) >= 4}


def _grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
