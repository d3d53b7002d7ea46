"""Instructions whose following a program can tell, of the kinds of IFEval (arXiv:2311.07911).

Its own prompts are on a hub only; these are drawn by our generator, and judged by the same checks
as the training problems' (`k2core.rewards.instructions`).
"""

import random
from collections.abc import Mapping

from inspect_ai.dataset import Sample
from inspect_ai.solver import TaskState
from pydantic import JsonValue

from k2core.evaluate.suites.suite import CATEGORY, Bench, Suite, make_suite
from k2core.problems.words import NUMBER_WORDS, WORDS
from k2core.rewards.instructions import follows
from k2core.sandbox import Verdict
from schemas.benchmarks import BenchmarkConfig

PER_KIND = 8
EXPECTED = "expected"
_TASKS = (
    "Write a few sentences about a {a}.",
    "Tell me something about the word {a}.",
    "Describe a {a} to a child.",
    "What is the difference between a {a} and a {b}?",
)
_Form = tuple[str, dict[str, JsonValue]]


def build(config: BenchmarkConfig, bench: Bench) -> Suite:
    """Eight of each kind, or `limit`; one instruction each, and as many pairs."""
    count = config.limit or PER_KIND
    samples = [pose(kind, n, config.seed) for kind in (*FORMS, _PAIR) for n in range(count)]
    return make_suite("instructions", samples, "this pipeline's instructions", judge)


def pose(kind: str, index: int, seed: int) -> Sample:
    """One item: a small task, and the form that its answer must have."""
    rng = random.Random(f"{seed}/instructions/{kind}/{index}")
    a, b = rng.sample(WORDS, 2)
    kinds = rng.sample(_TOGETHER, 2) if kind == _PAIR else [kind]
    said, checks = zip(*(_fill(FORMS[name], rng) for name in kinds), strict=True)
    task = rng.choice(_TASKS).format(a=a, b=b)
    return Sample(
        id=f"{kind}/{index}",
        input=" ".join((task, *said)),
        metadata={CATEGORY: kind, EXPECTED: {"kind": "all_of", "checks": list(checks)}},
    )


def judge(state: TaskState) -> Verdict:
    """Whether the answer has the form, all of it."""
    right = follows(state.metadata[EXPECTED], state.output.completion.strip())
    return Verdict(1.0) if right else Verdict(0.0, "wrong_form")


def _fill(form: _Form, rng: random.Random) -> tuple[str, dict[str, JsonValue]]:
    """The instruction in words and as a check, its slots drawn."""
    text, check = form
    count, (one, other) = rng.randint(2, 5), rng.sample(WORDS, 2)
    slots: Mapping[str, JsonValue] = {
        "{n}": count,
        "{many}": 10 * count,
        "{a}": one,
        "{b}": other,
        "{letter}": rng.choice("aeiost"),
    }
    for slot, value in slots.items():
        text = text.replace(slot, str(value))
    text = text.replace("{number}", NUMBER_WORDS[count])
    return text, {key: _substitute(value, slots) for key, value in check.items()}


def _substitute(value: JsonValue, slots: Mapping[str, JsonValue]) -> JsonValue:
    if isinstance(value, list):
        return [_substitute(part, slots) for part in value]
    return slots.get(value, value) if isinstance(value, str) else value


def _counted(kind: str, count: str, relation: str) -> dict[str, JsonValue]:
    return {"kind": kind, "count": count, "relation": relation}


FORMS: dict[str, _Form] = {
    "lowercase": ("Use lower case letters only.", {"kind": "lowercase"}),
    "uppercase": ("Use upper case letters only.", {"kind": "uppercase"}),
    "no_commas": ("Do not use any comma.", {"kind": "no_commas"}),
    "words_at_most": ("Use at most {many} words.", _counted("words", "{many}", "at_most")),
    "words_at_least": ("Use at least {many} words.", _counted("words", "{many}", "at_least")),
    "sentences": (
        "Answer in exactly {number} sentences.",
        _counted("sentences", "{n}", "exactly"),
    ),
    "bullets": (
        "Answer with exactly {n} bullet points, each on a line that begins with '* '.",
        _counted("bullets", "{n}", "exactly"),
    ),
    "paragraphs": (
        "Write exactly {n} paragraphs with an empty line between them.",
        _counted("paragraphs", "{n}", "exactly"),
    ),
    "highlights": (
        "Highlight at least {n} parts like *this*.",
        _counted("highlights", "{n}", "at_least"),
    ),
    "placeholders": (
        "Use at least {n} placeholders in square brackets, such as [name].",
        _counted("placeholders", "{n}", "at_least"),
    ),
    "capital_words": (
        "Write at least {n} words in capital letters.",
        _counted("capital_words", "{n}", "at_least"),
    ),
    "keywords": (
        'Use the words "{a}" and "{b}".',
        {"kind": "keywords", "words": ["{a}", "{b}"]},
    ),
    "keyword_count": (
        'Use the word "{a}" at least {n} times.',
        {"kind": "keyword_count", "word": "{a}", "count": "{n}", "relation": "at_least"},
    ),
    "forbidden_words": (
        'Do not use the words "the" and "{a}".',
        {"kind": "forbidden_words", "words": ["the", "{a}"]},
    ),
    "letter_count": (
        'The letter "{letter}" must stand in it at least {n} times.',
        {"kind": "letter_count", "letter": "{letter}", "count": "{n}", "relation": "at_least"},
    ),
    "title": ("Give it a title in double angular brackets, such as <<joy>>.", {"kind": "title"}),
    "quoted": ("Put the whole answer in double quotation marks.", {"kind": "quoted"}),
    "postscript": (
        "End with a postscript that begins with P.S.",
        {"kind": "postscript", "marker": "P.S."},
    ),
    "json_only": ("Answer in JSON, and with nothing else.", {"kind": "json_only"}),
    "starts_with": ('Begin with the word "{a}".', {"kind": "starts_with", "text": "{a}"}),
    "ends_with": (
        'End with the word "{a}", and nothing after it.',
        {"kind": "ends_with", "text": "{a}"},
    ),
    "two_answers": ("Give two different answers, parted by ******.", {"kind": "two_answers"}),
    "numbered": (
        "Answer with a numbered list of exactly {n} lines, the first of which begins with '1. '.",
        {"kind": "numbered", "count": "{n}"},
    ),
}
"""Kind -> the instruction in words, and its check."""
_TOGETHER = ("lowercase", "no_commas", "words_at_most", "keywords", "placeholders", "letter_count")
"""Kinds that do not exclude one another."""
_PAIR = "two together"
