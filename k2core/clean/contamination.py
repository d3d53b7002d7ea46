"""Overlap with held-out problems, by runs of tokens (arXiv:2005.14165, appendix C)."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from k2core.clean.verdict import Verdict
from schemas.clean import Decontamination

# Signs are tokens too: without them 12 + 7 and 12 * 7 are the same problem.
_TOKEN = re.compile(r"\w+|[^\w\s]")


class HeldOut:
    """Runs of tokens that no document may hold."""

    def __init__(self, texts: Sequence[str], config: Decontamination) -> None:
        counts: Counter[tuple[str, ...]] = Counter()
        for text in set(texts):
            tokens = tokenize_text(text)
            if len(tokens) >= config.min_tokens:
                counts.update(set(list_runs(tokens, min(len(tokens), config.ngram))))
        kept = {run for run, count in counts.items() if count <= config.max_problems}
        self._runs = {n: {r for r in kept if len(r) == n} for n in sorted({len(r) for r in kept})}

    def check(self, text: str) -> Verdict | None:
        """The verdict on a document that holds such a run; measured is their number."""
        tokens = tokenize_text(text)
        found = sum(len(runs.intersection(list_runs(tokens, n))) for n, runs in self._runs.items())
        return Verdict("decontamination", "held_out_problem", found, 0) if found else None


def tokenize_text(text: str) -> list[str]:
    """Lower-case words and single signs."""
    return _TOKEN.findall(text.lower())


def list_runs(tokens: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """All runs of n tokens."""
    return zip(*(tokens[start:] for start in range(n)), strict=False)
