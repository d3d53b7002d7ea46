"""The fidelity gate: does a rewrite say what its source says, in other words?

Surface measures count what can be counted, an embedding compares sentence with sentence. What both
miss is measured by `python -m bench.fidelity`. K2's own check is undisclosed.
"""

import re
from typing import NamedTuple, TypeVar

from k2core.rephrase.alignment import align
from k2core.rephrase.chunks import split_sentences
from k2core.rephrase.language import detect_language
from k2core.rephrase.roles import count_exchanged
from k2core.rephrase.strength import count_overstated, count_turned
from k2core.rephrase.surface import (
    count_negations,
    list_grams,
    list_names,
    list_numbers,
    list_quantities,
    list_stems,
    list_verbatim,
    list_words,
)
from schemas.rephrase import FidelityConfig

T = TypeVar("T")
_META = re.compile(
    r"\bhere(?: is|'s) (?:the|a|an|your)\b|\brewrit|\brephras|\bas an ai\b"
    r"|\b(?:the|this) (?:text|passage|paragraph)\b"
    r"|\bi (?:hope|can(?:no|')t|am sorry|apologi[sz]e)\b"
    r"|^(?:sure|certainly|of course)\b|\bin (?:my|your) own words\b|\bsmollm\b",
    re.IGNORECASE | re.MULTILINE,
)
_COPY_N, _REPEAT_N, _PHRASE_N = 5, 4, 3
_SAME = 0.6
_ENDS = ".!?\"'”)0123456789`$|"


def score_rewrite(source: str, rewrite: str, cut: bool) -> dict[str, float]:
    """Measure a rewrite; every measure is named after the limit that it is held against.

    A translation shares neither words nor the spelling of names with its source: those measures
    count as passed, and numbers, alignment and the rest decide.
    """
    return _compare_surface(source, rewrite, cut) | _compare_meaning(source, rewrite)


def passes(source: str, rewrite: str, cut: bool, limits: FidelityConfig) -> bool:
    """Whether the gate finds no fault; sentences are embedded only where the surface has none."""
    surface = _compare_surface(source, rewrite, cut)
    cheap = [bound for bound in _bounds(limits, surface) if bound.measure in surface]
    if not all(bound.holds(surface[bound.measure]) for bound in cheap):
        return False
    return not find_fault(surface | _compare_meaning(source, rewrite), limits)


def _compare_meaning(source: str, rewrite: str) -> dict[str, float]:
    alignment = align(source, rewrite)
    return alignment.cosines() | {"numbers_misplaced": float(alignment.misplaced_numbers)}


def _compare_surface(source: str, rewrite: str, cut: bool) -> dict[str, float]:
    given, said = list_words(source), list_words(rewrite)
    grams = list_grams(said, _REPEAT_N)
    scores = {
        **_compare_words(source, rewrite, given, said),
        **_compare_numbers(source, rewrite),
        "reworded": _share_reworded(source, rewrite),
        "verbatim_kept": _share_kept(list_verbatim(source), list_verbatim(rewrite)),
        "negations_changed": float(abs(count_negations(source) - count_negations(rewrite))),
        "turned": float(count_turned(source, rewrite)),
        "overstated": float(count_overstated(source, rewrite)),
        "exchanged": float(count_exchanged(source, rewrite)),
        "length_ratio": len(said) / max(1, len(given)),
        "repeated": 1 - _share(len(set(grams)), len(grams)),
        "meta_talk": float(len(_META.findall(rewrite)) > len(_META.findall(source))),
        "truncated": float(cut or not rewrite or rewrite[-1] not in _ENDS),
        "foreign": float(detect_language(rewrite) == "other"),
        "translated": float(detect_language(source) == "other"),
    }
    if scores["translated"]:
        scores |= {"entities_kept": 1.0, "entities_invented": 0.0, "negations_changed": 0.0}
        scores |= {"turned": 0.0, "overstated": 0.0, "exchanged": 0.0}
        scores |= {"content_kept": 1.0, "content_invented": 0.0}
        scores |= {"units_kept": 1.0, "units_invented": 0.0}
    return scores


def _compare_words(
    source: str, rewrite: str, given: list[str], said: list[str]
) -> dict[str, float]:
    names, known = list_names(source, rewrite), set(given)
    content, content_said = list_stems(given), list_stems(said)
    phrases, known_phrases = list_grams(said, _COPY_N), set(list_grams(given, _COPY_N))
    return {
        "entities_kept": _share_kept(names, set(said)),
        "entities_invented": float(len(list_names(rewrite, source) - known)),
        "content_kept": _share_kept(content, content_said),
        "content_invented": 1 - _share_kept(content_said, content),
        "copied": sum(p in known_phrases for p in phrases) / max(1, len(phrases)),
    }


def _compare_numbers(source: str, rewrite: str) -> dict[str, float]:
    numbers, numbers_said = list_numbers(source), list_numbers(rewrite)
    quantities, quantities_said = list_quantities(source), list_quantities(rewrite)
    return {
        "numbers_kept": _share_kept(numbers, numbers_said),
        "numbers_invented": float(len(numbers_said - numbers)),
        "units_kept": _share_kept(quantities, quantities_said),
        "units_invented": float(len(quantities_said - quantities)),
    }


def _share_reworded(source: str, rewrite: str) -> float:
    """Share of the rewrite's words in sentences that are put otherwise than the source's.

    A word exchanged here and there does not make another sentence: of its runs of three words at
    most `_SAME` may be the source's.
    """
    given = set(list_grams(list_words(source), _PHRASE_N))
    sentences = [list_words(sentence) for sentence in split_sentences(rewrite)]
    grams = [list_grams(words, _PHRASE_N) for words in sentences]
    changed = [
        len(words)
        for words, runs in zip(sentences, grams, strict=True)
        if sum(run in given for run in runs) <= _SAME * len(runs)
    ]
    return _share(sum(changed), sum(map(len, sentences)))


class Bound(NamedTuple):
    """What a measure is held to."""

    fault: str
    """The reason of a reject that misses it."""
    measure: str
    limit: float
    floor: bool
    """Whether less than the limit is a fault; else more is."""

    def holds(self, value: float) -> bool:
        """Whether a measured value passes."""
        return value >= self.limit if self.floor else value <= self.limit


def list_bounds(limits: FidelityConfig, translated: bool) -> list[Bound]:
    """The gate, in the order in which it is asked."""
    low, high = limits.length_ratio
    slack = limits.translation_slack if translated else 0.0
    return [
        Bound("truncated", "truncated", 0, floor=False),
        Bound("meta_talk", "meta_talk", 0, floor=False),
        Bound("not_english", "foreign", 0, floor=False),
        Bound("too_short", "length_ratio", low, floor=True),
        Bound("too_long", "length_ratio", high, floor=False),
        Bound("repeats_itself", "repeated", limits.max_repeated, floor=False),
        Bound("copies_the_source", "copied", limits.max_copied, floor=False),
        Bound("hardly_changed", "reworded", limits.min_reworded, floor=True),
        Bound("loses_numbers", "numbers_kept", limits.min_numbers_kept, floor=True),
        Bound("invents_numbers", "numbers_invented", limits.max_numbers_invented, floor=False),
        Bound("loses_units", "units_kept", limits.min_units_kept, floor=True),
        Bound("invents_units", "units_invented", limits.max_units_invented, floor=False),
        Bound("changes_verbatim", "verbatim_kept", limits.min_verbatim_kept, floor=True),
        Bound("loses_entities", "entities_kept", limits.min_entities_kept, floor=True),
        Bound("invents_entities", "entities_invented", limits.max_entities_invented, floor=False),
        Bound("loses_content", "content_kept", limits.min_content_kept, floor=True),
        Bound("invents_content", "content_invented", limits.max_content_invented, floor=False),
        Bound("changes_negation", "negations_changed", limits.max_negations_changed, floor=False),
        Bound("contradicts", "turned", limits.max_turned, floor=False),
        Bound("overstates", "overstated", limits.max_overstated, floor=False),
        Bound("turns_roles", "exchanged", limits.max_exchanged, floor=False),
        Bound("strays", "aligned", limits.min_aligned - slack, floor=True),
        Bound("leaves_out", "covered", limits.min_covered - slack, floor=True),
        Bound("makes_up", "grounded", limits.min_grounded - slack, floor=True),
        Bound("misplaces_numbers", "numbers_misplaced", limits.max_numbers_misplaced, floor=False),
    ]


def find_fault(scores: dict[str, float], limits: FidelityConfig) -> str:
    """The first limit that the scores miss; empty if none."""
    bounds = _bounds(limits, scores)
    return next((bound.fault for bound in bounds if not bound.holds(scores[bound.measure])), "")


def _bounds(limits: FidelityConfig, scores: dict[str, float]) -> list[Bound]:
    return list_bounds(limits, bool(scores["translated"]))


def _share(part: int, whole: int) -> float:
    """A share of nothing is all of it."""
    return part / whole if whole else 1.0


def _share_kept(wanted: set[T], found: set[T]) -> float:
    return _share(len(wanted & found), len(wanted))
