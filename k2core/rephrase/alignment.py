"""Does each sentence have its counterpart? Cosines of sentence embeddings (multilingual E5)."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from k2core.embeddings import embed_all
from k2core.rephrase.chunks import split_sentences
from k2core.rephrase.surface import list_numbers

_LONGEST = 1500
"""Characters of a sentence that are embedded; the model reads 512 tokens."""


_SHORTEST = 4
"""Words of a statement."""


class Alignment(NamedTuple):
    """Cosines: 1 says the same; calibrated limits are in `FidelityConfig`."""

    whole: float
    """Of the mean of all sentences: is it about the same?"""
    covered: float
    """Of the source's sentence that is worst found in the rewrite: was something left out?"""
    grounded: float
    """Of the rewrite's sentence that is worst found in the source: was something made up?"""
    misplaced_numbers: int = 0
    """Numbers that both texts have, but not in sentences that are each other's counterparts."""

    def cosines(self) -> dict[str, float]:
        """By the names of the gate's measures."""
        return {"aligned": self.whole, "covered": self.covered, "grounded": self.grounded}


def align(source: str, rewrite: str) -> Alignment:
    """Compare sentence by sentence; a sentence may have become two, or two have become one."""
    given, said = _list_statements(source), _list_statements(rewrite)
    if not given or not said:
        return Alignment(0.0, 0.0, 0.0)
    given_SD, given_pairs_PD, said_SD, said_pairs_PD = _embed_together(
        given, _pairs(given), said, _pairs(said)
    )
    whole = float(_unit(given_SD.mean(0)) @ _unit(said_SD.mean(0)))
    covered = (given_SD @ np.concatenate([said_SD, said_pairs_PD]).T).max(1).min()
    grounded = (said_SD @ np.concatenate([given_SD, given_pairs_PD]).T).max(1).min()
    misplaced = count_misplaced(
        [list_numbers(s) for s in given], [list_numbers(s) for s in said], given_SD @ said_SD.T
    )
    return Alignment(whole, float(covered), float(grounded), misplaced)


def count_misplaced(
    given: Sequence[set[str]], said: Sequence[set[str]], cosines_SR: np.ndarray
) -> int:
    """Numbers that changed to another statement, as two that are exchanged do.

    A number is in its place where one of its sentences in the source and one in the rewrite are
    nearest to each other, seen from either side: sentences may be split, joined and reordered.

    Args:
        given: the numbers of each of the source's sentences.
        said: those of the rewrite's.
        cosines_SR: of each sentence of the source with each of the rewrite.
    """
    pairs = {(i, int(j)) for i, j in enumerate(cosines_SR.argmax(1))}
    pairs |= {(int(i), j) for j, i in enumerate(cosines_SR.argmax(0))}
    placed = set[str]().union(*(given[i] & said[j] for i, j in pairs))
    return len(set[str]().union(*given) & set[str]().union(*said) - placed)


def _list_statements(text: str) -> list[str]:
    """Sentences, but titles and labels, which state nothing, where there are others."""
    sentences = split_sentences(text)
    return [s for s in sentences if len(s.split()) >= _SHORTEST] or sentences


def _pairs(sentences: Sequence[str]) -> list[str]:
    """Neighbours together."""
    return [f"{a} {b}" for a, b in pairwise(sentences)]


def _embed_together(*lists: Sequence[str]) -> list[np.ndarray]:
    """Vectors of each list, all embedded at once."""
    vectors_SD = embed_all([text[:_LONGEST] for texts in lists for text in texts])
    return np.split(vectors_SD, list(accumulate(map(len, lists[:-1]))))


def _unit(vector_D: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vector_D / np.linalg.norm(vector_D)
    return unit
