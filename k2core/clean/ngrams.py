"""Repeated word n-grams of many documents, exactly, by sorting.

An n-gram can only repeat where both (n-1)-grams in it do: after the pairs, few positions are left.
Each n-gram is named by a pair of integers, so no two different ones are ever taken for equal.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k2core.clean.vocabulary import Ints

_ID_BITS = 21
_MAX_DOCUMENTS = 1 << (63 - 2 * _ID_BITS)


class Repeated(NamedTuple):
    """Places where an n-gram stands that its document holds more than once, R of them."""

    n: int
    position_R: Ints
    """First word, ascending."""
    name_R: Ints
    """Equal where document and n-gram are, in their order of occurrence within a document."""
    count_R: Ints
    """How often the document holds it."""
    first_R: NDArray[np.bool_]
    """The first occurrence."""


def find_repeated(ids_T: Ints, document_T: Ints, max_n: int) -> Iterator[Repeated]:
    """The repeated n-grams for n = 2, 3, .. max_n.

    Args:
        ids_T: words, as integers below 2^21.
        document_T: their documents, ascending.
        max_n: largest n.
    """
    if len(document_T) and document_T[-1] >= _MAX_DOCUMENTS:
        raise ValueError(f"{document_T[-1] + 1} documents in a batch: at most {_MAX_DOCUMENTS}")
    inside = np.flatnonzero(document_T[1:] == document_T[:-1])
    key = (document_T[inside] << 2 * _ID_BITS) | (ids_T[inside] << _ID_BITS) | ids_T[inside + 1]
    found = _group(2, inside, key)
    yield found
    for n in range(3, max_n + 1):
        here = np.flatnonzero(np.diff(found.position_R) == 1)
        key = (found.name_R[here] << 32) | found.name_R[here + 1]
        found = _group(n, found.position_R[here], key)
        yield found


def _group(n: int, position_X: Ints, key_X: Ints) -> Repeated:
    order = np.argsort(key_X)
    ranked = key_X[order]
    begins = np.flatnonzero(np.diff(ranked, prepend=ranked[:1] - 1)) if len(ranked) else order
    counts = np.diff(begins, append=len(ranked))
    many = counts > 1
    members = order[np.repeat(many, counts)]
    counts_G = counts[many]
    name_M = np.repeat(np.arange(len(counts_G)), counts_G)
    first_G = (
        np.minimum.reduceat(members, np.cumsum(counts_G) - counts_G) if len(members) else members
    )
    name_X = np.full(len(key_X), -1)
    name_X[members] = name_M
    at = np.flatnonzero(name_X >= 0)
    name_R = name_X[at]
    return Repeated(n, position_X[at], name_R, counts_G[name_R], at == first_G[name_R])


def most_frequent(found: Repeated, document_T: Ints, num_documents: int) -> tuple[Ints, Ints]:
    """Of each document the count of its most frequent n-gram, of equals the first, and its place.

    Returns:
        Counts (0: none repeats) and first words.
    """
    at = np.flatnonzero(found.first_R)
    document_A = document_T[found.position_R[at]]
    # Ascending places: among equal counts the earliest has the largest rank from the end.
    rank = (found.count_R[at] << 32) + np.arange(len(at))[::-1]
    best = np.zeros(num_documents, np.int64)
    np.maximum.at(best, document_A, rank)
    place = np.zeros(num_documents, np.int64)
    winners = best[document_A] == rank
    place[document_A[winners]] = found.position_R[at[winners]]
    return best >> 32, place


def repeated_characters(found: Repeated, length_before_T: Ints, document_T: Ints, num: int) -> Ints:
    """Characters in n-grams that occurred before, read from the start and never overlapping.

    Args:
        found: the repeated n-grams.
        length_before_T: characters in all words before each word.
        document_T: document of each word.
        num: number of documents.
    """
    result = np.zeros(num, np.int64)
    if not len(found.position_R):
        return result
    lengths_R = length_before_T[found.position_R + found.n] - length_before_T[found.position_R]
    document_R = document_T[found.position_R]
    seen: set[int] = set()
    free = -1
    taken = []
    num_words = found.n
    for row, (position, name) in enumerate(
        zip(found.position_R.tolist(), found.name_R.tolist(), strict=True)
    ):
        if position >= free:
            if name in seen:
                taken.append(row)
                free = position + num_words
            else:
                seen.add(name)
    rows_taken = np.array(taken, np.int64)
    np.add.at(result, document_R[rows_taken], lengths_R[rows_taken])
    return result
