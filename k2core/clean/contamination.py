"""Overlap with held-out problems, by runs of tokens (arXiv:2005.14165, appendix C)."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from k2core.clean.phrases import PhraseFilter
from k2core.clean.verdict import RuleVerdict
from schemas.clean import Decontamination

# Signs are tokens too: without them 12 + 7 and 12 * 7 are the same problem.
_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"\w")
Run = tuple[str, ...]


class Question(NamedTuple):
    """What a held-out problem asks; one of several turns may be a question of its own."""

    problem_id: str
    text: str


class FoundOverlap(NamedTuple):
    """A held-out problem that a document holds a part of."""

    problem_id: str
    ngram: str
    """The first run of tokens that both hold, joined by spaces."""
    num_ngrams: int
    """Different runs that both hold."""
    covered_frac: float
    """Share of the problem's runs that the document holds: 1 is the whole problem."""


class HeldOutRuns:
    """Runs of tokens that no document may hold."""

    def __init__(self, questions: Sequence[Question], config: Decontamination) -> None:
        counts: Counter[Run] = Counter()
        self._asked_by: dict[Run, list[str]] = defaultdict(list)
        self._num_runs: Counter[str] = Counter()
        asked: dict[str, list[str]] = defaultdict(list)
        for problem_id, text in questions:
            asked[text].append(problem_id)
        for text, problem_ids in asked.items():
            tokens = tokenize_text(text)
            if len(tokens) < config.min_tokens:
                continue
            runs = set(list_runs(tokens, min(len(tokens), config.ngram)))
            counts.update(runs)
            for problem_id in problem_ids:
                self._num_runs[problem_id] += len(runs)
                for run in runs:
                    self._asked_by[run].append(problem_id)
        kept = {run for run, count in counts.items() if count <= config.max_problems}
        self._filter = PhraseFilter([[t for t in run if is_word(t)] for run in kept])
        self._runs = {n: {r for r in kept if len(r) == n} for n in sorted({len(r) for r in kept})}

    def suspect(self, texts: pl.Series) -> NDArray[np.bool_]:
        """Which texts to `check`, (N,): no other has a run of tokens, since none has its words."""
        return self._filter.flag(texts)

    def check(self, text: str) -> RuleVerdict | None:
        """The verdict on a document that holds such a run; measured is their number."""
        tokens = tokenize_text(text)
        found = sum(len(runs.intersection(list_runs(tokens, n))) for n, runs in self._runs.items())
        return RuleVerdict("decontamination", "held_out_problem", found, 0) if found else None

    def find_overlaps(self, text: str) -> list[FoundOverlap]:
        """The problems that a document overlaps with, the most covered first."""
        tokens = tokenize_text(text)
        held: dict[str, dict[Run, None]] = defaultdict(dict)
        for n, runs in self._runs.items():
            for run in filter(runs.__contains__, list_runs(tokens, n)):
                for problem_id in self._asked_by[run]:
                    held[problem_id][run] = None
        overlaps = [
            FoundOverlap(
                name, " ".join(next(iter(runs))), len(runs), len(runs) / self._num_runs[name]
            )
            for name, runs in held.items()
        ]
        return sorted(overlaps, key=lambda overlap: (-overlap.covered_frac, overlap.problem_id))


def tokenize_text(text: str) -> list[str]:
    """Lower-case words and single signs."""
    return _TOKEN.findall(text.lower())


def is_word(token: str) -> bool:
    """Whether a token is a word, and no sign."""
    return bool(_WORD.match(token))


def list_runs(tokens: Sequence[str], n: int) -> Iterator[Run]:
    """All runs of n tokens."""
    return zip(*(tokens[start:] for start in range(n)), strict=False)
