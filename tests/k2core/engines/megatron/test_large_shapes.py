"""The published shapes, built by Megatron on the meta device: exact counts by component."""

from collections import Counter

import pytest
import torch

from k2core.model.counts import count_parameters, sum_parameters
from schemas.model import ModelShape
from schemas.placement import Placement
from workflows.large_recipes import K2_SHAPE, MOONLIGHT_SHAPE

PARTS = {
    "word_embeddings": "embedding",
    "output_layer": "output",
    "norm": "norms",
    "self_attention": "attention",
    "router": "router",
    "shared_experts": "shared_experts",
    "experts": "routed_experts",
    "mlp": "dense_ffn",
}
"""The first that occurs in a parameter's name says its component."""


@pytest.mark.parametrize(
    ("shape", "total", "active"),
    [
        (MOONLIGHT_SHAPE, 15_960_108_544, 2_914_774_528),
        (K2_SHAPE, 1_026_408_209_408, 32_861_477_888),
    ],
)
def test_megatron_builds_the_published_sizes(shape: ModelShape, total: int, active: int) -> None:
    assert sum_parameters(shape) == (total, active)
    with torch.device("meta"):
        parameters = dict(build(shape).named_parameters())
    sizes: Counter[str] = Counter()
    for name, parameter in parameters.items():
        assert parameter.is_meta
        sizes[next(part for word, part in PARTS.items() if word in name)] += parameter.numel()
    assert sizes == {name: count.total for name, count in count_parameters(shape).items()}


def build(shape: ModelShape) -> torch.nn.Module:
    from k2core.engines.megatron.process_group import join_ranks
    from k2core.engines.megatron.spec import build_model

    join_ranks(Placement(num_ranks=1))
    return build_model(shape, Placement(num_ranks=1), seed=0)
