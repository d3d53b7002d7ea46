"""The scale of the routed experts' sum, derived from how many experts there are."""

import math
from functools import lru_cache

import numpy as np

from schemas.model import ModelShape


@lru_cache(maxsize=32)
def derive_scaling_factor(num_experts: int, experts_per_token: int) -> float:
    """The factor that gives the routed sum the RMS of one expert (arXiv:2502.16982, appendix C).

    The normalised gates w of the top k out of n sigmoid scores shrink a sum of independent,
    equally large expert outputs to |w|; 1 / |w|, averaged over gate logits ~ N(0, 1), undoes it.
    Cut to three decimals, which gives the published 2.446 for (64, 6) and 2.827 for (384, 8).
    """
    logits = np.random.default_rng(0).standard_normal((20_000, num_experts), dtype=np.float32)
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    top = np.sort(scores, axis=-1)[:, num_experts - experts_per_token :]
    gates = top / top.sum(axis=-1, keepdims=True)
    factor = float((1 / np.linalg.norm(gates, axis=-1)).mean())
    return math.floor(factor * 1000 + 1e-6) / 1000


def routed_scaling_factor(shape: ModelShape) -> float:
    """The shape's own factor, or the derived one."""
    if shape.routed_scaling_factor is not None:
        return shape.routed_scaling_factor
    return derive_scaling_factor(shape.num_experts, shape.experts_per_token)
