"""How different tools are: hashed TF-IDF vectors, nearest neighbours, near-duplicates, a map.

The map is t-SNE (van der Maaten and Hinton, 2008), as the report draws tools (arXiv:2507.20534,
figure 9), computed exactly over a sample.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.chat import ToolSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Vectors = npt.NDArray[np.float32]
NUM_DIMS = 1024
NEAR = 0.95
"""Cosine from which two tools are near-duplicates."""
_BLOCK = 512
_PIECES = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")


class NeighbourSpread(NamedTuple):
    """Nearest neighbours within a set of tools."""

    num_sampled: int
    median_distance: float
    """Median of 1 - cosine to the nearest other tool."""
    near_frac: float
    """Share whose nearest other tool is at a cosine of `NEAR` or more."""


def embed_tools(specs: Sequence[ToolSpec]) -> Vectors:
    """Unit vectors `(tools, NUM_DIMS)` of names, descriptions and arguments' names.

    Words and pairs of neighbouring words, hashed with signs, weighed by rarity in this set.
    """
    counts = np.zeros((len(specs), NUM_DIMS), np.float32)
    for row, spec in enumerate(specs):
        for piece in _split(spec):
            place = zlib.crc32(piece.encode())
            counts[row, place % NUM_DIMS] += 1.0 if place >> 31 else -1.0
    documents = np.count_nonzero(counts, axis=0)
    counts = np.sign(counts) * np.log1p(np.abs(counts))
    counts *= np.log((1 + len(specs)) / (1 + documents)).astype(np.float32)
    norms = np.linalg.norm(counts, axis=1, keepdims=True)
    return np.asarray(counts / np.maximum(norms, 1e-9), np.float32)


def measure_spread(vectors: Vectors, sample: int = 2000, seed: int = 0) -> NeighbourSpread:
    """Nearest neighbours among all, of a sample.

    Raises:
        ValueError: there are fewer than two vectors.
    """
    nearest = find_nearest(vectors, vectors, sample, seed, same=True)
    return NeighbourSpread(
        len(nearest), float(np.median(1 - nearest)), float(np.mean(nearest >= NEAR))
    )


def find_nearest(
    vectors: Vectors, others: Vectors, sample: int, seed: int, *, same: bool
) -> npt.NDArray[np.float32]:
    """Cosine of each sampled vector to the nearest of the others, itself left out if `same`.

    Raises:
        ValueError: nothing to compare with.
    """
    if len(others) < 1 + same or not len(vectors):
        raise ValueError(f"{len(vectors)} vectors cannot be held against {len(others)}")
    rng = np.random.default_rng(seed)
    picked = rng.choice(len(vectors), min(sample, len(vectors)), replace=False)
    found = []
    for start in range(0, len(picked), 256):
        rows = picked[start : start + 256]
        cosines = vectors[rows] @ others.T
        if same:
            cosines[np.arange(len(rows)), rows] = -1
        found.append(cosines.max(axis=1))
    return np.concatenate(found)


def drop_near(vectors: Vectors, threshold: float = NEAR) -> npt.NDArray[np.int64]:
    """Rows that are left when each near-duplicate of an earlier kept row is dropped, in order.

    Exact and greedy: what is left has no two rows at a cosine of `threshold` or more, and each row
    that was dropped is as near to one that was kept.
    """
    kept = np.empty_like(vectors)
    rows: list[int] = []
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        fresh = np.flatnonzero(_nearest(block, kept[: len(rows)]) < threshold)
        among = block[fresh] @ block[fresh].T
        chosen: list[int] = []
        for place in range(len(fresh)):
            if not chosen or among[place, chosen].max() < threshold:
                chosen.append(place)
        kept[len(rows) : len(rows) + len(chosen)] = block[fresh[chosen]]
        rows += (start + fresh[chosen]).tolist()
    return np.array(rows, np.int64)


def _nearest(block: Vectors, others: Vectors) -> Vectors:
    """Largest cosine of each row to any of the others; -1 where there are none."""
    best = np.full(len(block), -1, np.float32)
    for start in range(0, len(others), 8 * _BLOCK):
        best = np.maximum(best, (block @ others[start : start + 8 * _BLOCK].T).max(axis=1))
    return best


def draw_map(groups: Mapping[str, Vectors], per_group: int = 600, seed: int = 0) -> "Figure":
    """Both kinds of tools on one plane, a colour a group."""
    from matplotlib.figure import Figure

    rng = np.random.default_rng(seed)
    picked = {
        name: vectors[rng.choice(len(vectors), min(per_group, len(vectors)), replace=False)]
        for name, vectors in groups.items()
    }
    plane = fit_tsne(np.concatenate(list(picked.values())), seed)
    figure = Figure(figsize=(14, 7.5), layout="constrained")
    axes, distances = figure.subplots(1, 2, width_ratios=(8, 5))
    start = 0
    for name, vectors in picked.items():
        part = plane[start : start + len(vectors)]
        axes.scatter(part[:, 0], part[:, 1], s=4, label=f"{name} ({len(groups[name]):,})")
        start += len(vectors)
    axes.legend(markerscale=4)
    axes.set_axis_off()
    axes.set_title("Tools by words of their interfaces, t-SNE of a sample")
    for name, values in nearest_distances(groups, per_group, seed).items():
        distances.hist(values, bins=40, range=(0, 1), density=True, histtype="step", label=name)
    distances.axvline(1 - NEAR, linestyle=":", color="grey")
    distances.set(xlabel=f"1 - cosine to the nearest (dotted: {1 - NEAR:.2f})", ylabel="density")
    distances.legend()
    return figure


def nearest_distances(
    groups: Mapping[str, Vectors], sample: int, seed: int
) -> dict[str, npt.NDArray[np.float32]]:
    """1 - cosine to the nearest other of the same group, and from each group to each other one."""
    found = {}
    for name, vectors in groups.items():
        for other, others in groups.items():
            if not len(vectors) or len(others) < 2:
                continue
            title = f"among {name}" if name == other else f"{name} to {other}"
            nearest = find_nearest(vectors, others, sample, seed, same=name == other)
            found[title] = 1 - nearest
    return found


def fit_tsne(
    vectors: Vectors, seed: int, num_steps: int = 300, perplexity: float = 30.0
) -> npt.NDArray[np.float64]:
    """Places `(n, 2)`: exact t-SNE by gradient descent with momentum, started from the PCA."""
    n = len(vectors)
    centred = vectors - vectors.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, -2:]
    plane = np.asarray(centred @ axes, np.float64)
    plane *= 1e-4 / max(plane.std(), 1e-12)
    plane += np.random.default_rng(seed).normal(0, 1e-6, plane.shape)
    joint = _joint_probabilities(vectors, min(perplexity, (n - 1) / 3))
    velocity = np.zeros_like(plane)
    for step in range(num_steps):
        gaps = plane[:, None, :] - plane[None, :, :]
        kernel = 1 / (1 + np.einsum("ijk,ijk->ij", gaps, gaps))
        np.fill_diagonal(kernel, 0)
        early = 12.0 if step < 100 else 1.0
        pull = (early * joint - kernel / kernel.sum()) * kernel
        gradient = 4 * (pull.sum(axis=1)[:, None] * plane - pull @ plane)
        velocity = (0.5 if step < 100 else 0.8) * velocity - max(n / 12, 50) * gradient
        plane = plane + velocity
    return plane


def _joint_probabilities(vectors: Vectors, perplexity: float) -> npt.NDArray[np.float64]:
    """p_ij of equation 1 there, symmetrised; the widths by bisection on the entropy."""
    distances = np.maximum(2 - 2 * (vectors @ vectors.T).astype(np.float64), 0)
    np.fill_diagonal(distances, np.inf)
    low, high = np.zeros(len(vectors)), np.full(len(vectors), 1e4)
    for _ in range(40):
        beta = (low + high) / 2
        nearest = distances.min(axis=1, keepdims=True)
        weights = np.exp(-(distances - nearest) * beta[:, None])
        chances = weights / weights.sum(axis=1, keepdims=True)
        entropy = -np.sum(chances * np.log(np.maximum(chances, 1e-300)), axis=1)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, beta, low), np.where(wide, high, beta)
    joint: npt.NDArray[np.float64] = (chances + chances.T) / (2 * len(vectors))
    return joint


def _split(spec: ToolSpec) -> list[str]:
    """Words, and pairs of neighbours, of everything that a model reads."""
    properties = spec.parameters.get("properties")
    arguments = list(properties) if isinstance(properties, dict) else []
    pieces = []
    for text in (spec.name, spec.description[:400], *arguments):
        words = [word.lower() for word in _PIECES.split(text) if word]
        pieces += words
        pieces += [f"{a} {b}" for a, b in pairwise(words)]
    return pieces
