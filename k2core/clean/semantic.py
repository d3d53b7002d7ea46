"""Documents that say the same in other words, by embeddings in clusters (arXiv:2303.09540).

Vectors of a shard are a file; spherical k-means on a sample gives clusters, and documents of one
are compared, the preferred one first (source, language score, length). Of the alike it stays, as of
other duplicates; SemDeDup keeps the one that is farthest from the cluster's centre.

Shape suffixes: N documents, M of a cluster, K clusters, D dimensions.
"""

import functools
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from k2core.clean.outline import JUDGED
from k2core.clean.signatures import ID, NEAR, PREFERENCE, ROW, SignedShard, SignedShards
from k2core.clean.verdict import RuleVerdict, Twin
from k2core.embeddings import DIMENSIONS, embed_all
from k2core.pieces import Crew, Made, Piece
from schemas.clean import SemanticDuplicates

Vectors = NDArray[np.float32]
Ints = NDArray[np.int64]

_VECTORS = "vectors.npy"
_SAMPLE = 20_000
"""Vectors that k-means looks at, and 30 MB."""
_ROUNDS = 10
_BLOCK = 512
"""Documents compared together with all before them in their cluster."""


class Alike(NamedTuple):
    """A document and the preferred one that it is most like and that is kept, by their places."""

    place: int
    kept: int
    cosine: float


def add_semantic(
    config: SemanticDuplicates,
    judged: Sequence[Made],
    shards: SignedShards,
    twins: Sequence[dict[int, Twin]],
    crew: Crew,
    folder: Path,
) -> None:
    """Add to each shard's duplicates those among what is left.

    Args:
        config: what counts as one.
        judged: `JudgedDocument` rows.
        shards: their signatures' files, which say who asks for near-duplicates.
        twins: each shard's duplicates so far, by row.
        crew: who embeds texts.
        folder: for vectors.
    """
    left = [_list_left(shard, found) for shard, found in zip(shards, twins, strict=True)]
    rows = [lines[0].astype(np.int64) for lines in left]
    pieces = [Piece((made.file(JUDGED),), kept) for made, kept in zip(judged, rows, strict=True)]
    embedded = crew.make(functools.partial(embed_shard, config), pieces, folder)
    vectors = [_open_vectors(made, len(kept)) for made, kept in zip(embedded, rows, strict=True)]
    starts = np.cumsum([0, *map(len, rows)])
    names = np.concatenate([lines[1] for lines in left])
    ranks = np.concatenate([lines[2] for lines in left])
    for alike in find_alike(vectors, ranks, config):
        number = int(np.searchsorted(starts, alike.place, "right")) - 1
        row = int(rows[number][alike.place - starts[number]])
        verdict = RuleVerdict(
            "deduplication", "semantic_duplicate", alike.cosine, config.min_cosine
        )
        twins[number][row] = Twin(verdict, f"{int(names[alike.kept]):016x}")


def embed_shard(
    config: SemanticDuplicates, files: Sequence[Path], rows: Ints, folder: Path
) -> None:
    """Write vectors of some of a shard's documents, (rows, D)."""
    texts = pl.read_parquet(files[0], columns=["text"])["text"].gather(rows)
    starts = texts.str.slice(0, config.max_characters).to_list()
    np.save(folder / _VECTORS, embed_all(starts))


def _open_vectors(made: Made, num: int) -> Vectors:
    vectors_ND: Vectors = np.load(made.open(_VECTORS), mmap_mode="r" if num else None)
    return vectors_ND


def find_alike(
    shards: Sequence[Vectors], ranks_N: NDArray[np.uint64], config: SemanticDuplicates
) -> list[Alike]:
    """Whatever resembles a preferred document; places count through all shards.

    Args:
        shards: their vectors.
        ranks_N: how much each document is to be preferred, lower is better; of equals the first.
        config: what counts as alike.
    """
    starts = np.cumsum([0, *map(len, shards)])
    if not starts[-1]:
        return []
    centres_KD = fit_centres(_draw_sample(shards, starts, config.seed), int(starts[-1]), config)
    cluster_N = np.concatenate([(shard @ centres_KD.T).argmax(1) for shard in shards if len(shard)])
    order = np.argsort(cluster_N, kind="stable")
    bounds = np.searchsorted(cluster_N[order], np.arange(len(centres_KD) + 1))
    found = []
    for first, last in pairwise(bounds.tolist()):
        members_M = order[first:last]
        preferred_M = np.argsort(ranks_N[members_M], kind="stable")
        vectors_MD = _gather(shards, starts, members_M)[preferred_M]
        for alike in find_in_cluster(vectors_MD, config.min_cosine):
            place, kept = (int(members_M[preferred_M[n]]) for n in (alike.place, alike.kept))
            found.append(Alike(place, kept, alike.cosine))
    return sorted(found)


def find_in_cluster(vectors_MD: Vectors, min_cosine: float) -> list[Alike]:
    """Compare each with the kept ones before it."""
    kept_M = np.ones(len(vectors_MD), bool)
    found = []
    for start in range(0, len(vectors_MD), _BLOCK):
        block = vectors_MD[start : start + _BLOCK]
        cosine = block @ vectors_MD[: start + len(block)].T
        near = np.tril(cosine >= min_cosine, start - 1)
        for row in np.flatnonzero(near.any(1)).tolist():
            others = np.flatnonzero(near[row] & kept_M[: start + len(block)])
            if not len(others):
                continue
            best = int(others[cosine[row, others].argmax()])
            kept_M[start + row] = False
            found.append(Alike(start + row, best, min(1.0, float(cosine[row, best]))))
    return found


def fit_centres(sample_ND: Vectors, num_documents: int, config: SemanticDuplicates) -> Vectors:
    """Spherical k-means: unit vectors (K, D); no more clusters than vectors of the sample."""
    num = min(len(sample_ND), max(1, round(num_documents / config.cluster_documents)))
    rng = np.random.default_rng(config.seed)
    centres_KD = sample_ND[rng.choice(len(sample_ND), num, replace=False)].copy()
    for _ in range(_ROUNDS if num > 1 else 0):
        nearest_N = (sample_ND @ centres_KD.T).argmax(1)
        sums_KD = np.zeros((num, DIMENSIONS), np.float64)
        np.add.at(sums_KD, nearest_N, sample_ND)
        norms_K = np.linalg.norm(sums_KD, axis=1, keepdims=True)
        # A centre that lost all its documents stays where it was.
        moved_KD = (sums_KD / np.maximum(norms_K, 1e-12)).astype(np.float32)
        centres_KD = np.where(norms_K > 0, moved_KD, centres_KD)
    return centres_KD


def _list_left(shard: SignedShard, found: Mapping[int, Twin]) -> NDArray[np.uint64]:
    """Rows, names and ranks, (3, N), of documents that ask and are not dropped yet."""
    asking = shard.keys_KN[:, shard.keys_KN[NEAR] > 0]
    left = [row not in found for row in asking[ROW].tolist()]
    return np.stack([asking[line, left] for line in (ROW, ID, PREFERENCE)])


def _draw_sample(shards: Sequence[Vectors], starts: NDArray[np.int64], seed: int) -> Vectors:
    rng = np.random.default_rng(seed)
    num = int(starts[-1])
    places = np.sort(rng.choice(num, min(num, _SAMPLE), replace=False))
    return _gather(shards, starts, places)


def _gather(shards: Sequence[Vectors], starts: NDArray[np.int64], places: Ints) -> Vectors:
    """Vectors by ascending places."""
    cuts = np.searchsorted(places, starts)
    pieces = [
        np.asarray(shard[places[cuts[n] : cuts[n + 1]] - starts[n]])
        for n, shard in enumerate(shards)
        if cuts[n] < cuts[n + 1]
    ]
    return np.concatenate(pieces) if pieces else np.empty((0, DIMENSIONS), np.float32)
