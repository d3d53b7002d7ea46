"""Bytes between devices, and the seconds that the links need for them."""

from typing import NamedTuple

from k2core.optim.rule import UpdateRule
from k2core.parallel.activations import layer_bytes
from k2core.parallel.hardware import Device
from k2core.parallel.layout import Layout, layers_of_stages
from k2core.parallel.memory import HeldParameters
from schemas.model import ModelShape


class RankTraffic(NamedTuple):
    """Bytes that one rank sends: to devices of its node, and over the network."""

    inside: float
    outside: float

    def seconds(self, device: Device) -> float:
        """Both ways at once; the slower one counts."""
        return max(self.inside / device.fast_link, self.outside / device.network)


def all_to_all(shape: ModelShape, layout: Layout, tokens: int) -> RankTraffic:
    """One expert layer's dispatch of a micro-batch, in bf16; combining sends the same back.

    Even routing. A token goes once to each other node that has some of its experts (DeepSeek-V3's
    dispatch, arXiv:2412.19437, section 3.2.2) and on from there by the fast link.
    """
    if layout.ep == 1:
        return RankTraffic(0.0, 0.0)
    row = tokens * shape.hidden_size * 2 / layout.tp
    per_node = min(layout.ep, layout.ranks_per_node)
    nodes = -(-layout.ep // per_node)
    reached = nodes * (1 - (1 - 1 / nodes) ** shape.experts_per_token)  # nodes with an expert of it
    ranks = layout.ep * (1 - (1 - 1 / layout.ep) ** shape.experts_per_token)
    elsewhere = reached * (nodes - 1) / nodes
    return RankTraffic(inside=row * ranks * (per_node - 1) / per_node, outside=row * elsewhere)


def tensor_parallel(shape: ModelShape, layout: Layout, tokens: int) -> RankTraffic:
    """One layer's gathers and scatters of a micro-batch, forward and backward (four pairs)."""
    row = tokens * shape.hidden_size * 2
    return RankTraffic(inside=8 * row * (layout.tp - 1) / layout.tp, outside=0.0)


def context_parallel(shape: ModelShape, layout: Layout, tokens: int) -> RankTraffic:
    """One layer's gathers of keys and values, and the sum of their gradients.

    Forward and backward gather each for itself: whole rows of them are not kept. Full
    recomputation gathers once more.
    """
    widths = shape.qk_nope_head_dim + shape.qk_rope_head_dim + shape.v_head_dim
    part = tokens * shape.num_heads * widths * 2 / layout.tp
    times = 5 if layout.recompute == "full" else 4  # an all-reduce passes everything on twice
    sent = times * part * (layout.cp - 1)
    inside = layout.tp * layout.cp <= layout.ranks_per_node
    return RankTraffic(sent, 0.0) if inside else RankTraffic(0.0, sent)


def offloaded(shape: ModelShape, layout: Layout, tokens: int, width: int) -> float:
    """Bytes of a micro-batch's forward pass to the host, of the stage with most; and back again."""
    if not layout.offload:
        return 0.0
    sizes = {sparse: layer_bytes(shape, layout, sparse, width) for sparse in (False, True)}
    stages = layers_of_stages(shape.num_layers, layout)
    return tokens * max(
        sum(sizes[layer >= shape.num_dense_layers] for layer in layers) for layers in stages
    )


def pipeline(shape: ModelShape, layout: Layout, tokens: int) -> RankTraffic:
    """A micro-batch's hand-overs of one rank: activations on, gradients back, for each chunk."""
    if layout.pp == 1:
        return RankTraffic(0.0, 0.0)
    row = 2 * layout.virtual_stages * tokens * shape.hidden_size * 2 / layout.tp
    crosses = layout.num_ranks // layout.pp >= layout.ranks_per_node
    return RankTraffic(0.0, row) if crosses else RankTraffic(row, 0.0)


def gradients(
    held: HeldParameters, layout: Layout, width: int, optimizer: UpdateRule
) -> RankTraffic:
    """A step's reduce-scatter of fp32 gradients and all-gather of the new weights (ZeRO-1).

    Gathering whole matrices, as for Muon, adds at most a quarter (arXiv:2502.16982, section 2.3).
    """
    dense = (held.dense + held.others) * (layout.dense_dp - 1) / layout.dense_dp
    experts = held.experts * (layout.expert_dp - 1) / layout.expert_dp
    sent = (dense + experts) * (4 + width) * (1.25 if optimizer.whole_matrices else 1)
    return (
        RankTraffic(0.0, sent)
        if layout.num_ranks > layout.ranks_per_node
        else RankTraffic(sent, 0.0)
    )
