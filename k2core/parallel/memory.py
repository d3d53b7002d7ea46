"""Bytes a rank needs, by kind, stage by stage of the pipeline."""

from typing import Literal, NamedTuple

from k2core.model.counts import count_attention, count_expert, count_norms
from k2core.optim.rule import UpdateRule
from k2core.parallel.activations import layer_bytes
from k2core.parallel.layout import Layout, layers_of_stages
from schemas.model import ModelShape

Precision = Literal["fp32", "bf16"]
LAYERS_ON_DEVICE = 2
"""Under offload: a layer at work, one on its way out (forward) or in (backward)."""


class HeldParameters(NamedTuple):
    """Parameters of one rank, by how they are replicated and what they are to an optimizer."""

    dense: int
    """Matrices that every data-parallel replica holds."""
    experts: int
    """Matrices of this rank's routed experts."""
    others: int
    """Norm gains, embedding and output layer: no matrix to an optimizer."""

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


class Memory(NamedTuple):
    """Bytes of one rank."""

    parameters: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    """The output layer's working set, on the last stage."""
    host: float
    """Activations that wait in host memory; not on the device."""

    @property
    def states(self) -> float:
        """Parameters, gradients and optimizer."""
        return self.parameters + self.gradients + self.optimizer

    @property
    def device(self) -> float:
        """All that the device must hold."""
        return self.states + self.activations + self.logits


def held_by_stages(shape: ModelShape, layout: Layout) -> list[HeldParameters]:
    """What the ranks of each pipeline stage hold.

    Tensor parallelism splits heads, feed-forward widths and the vocabulary; MLA's down-projections,
    the router and norms stay whole (the engine's layer spec).
    """
    s, tp = shape, layout.tp
    attention, stages = count_attention(s), []
    for stage, layers in enumerate(layers_of_stages(s.num_layers, layout)):
        sparse = sum(layer >= s.num_dense_layers for layer in layers)
        dense = len(layers) * (attention.by_head // tp + attention.down)
        dense += (len(layers) - sparse) * 3 * s.hidden_size * s.ffn_hidden_size // tp
        dense += sparse * s.num_experts * s.hidden_size
        dense += sparse * s.num_shared_experts * count_expert(s) // tp
        others = len(layers) * count_norms(s)
        if stage == 0:
            others += s.vocab_size * s.hidden_size // tp
        if stage == layout.pp - 1:
            others += s.vocab_size * s.hidden_size // tp + s.hidden_size
        stages.append(
            HeldParameters(dense, sparse * s.num_experts // layout.ep * count_expert(s), others)
        )
    return stages


def optimizer_bytes(
    held: HeldParameters, layout: Layout, precision: Precision, optimizer: UpdateRule
) -> float:
    """Masters (under bf16) and the optimizer's own buffers, dealt over replicas (ZeRO-1)."""
    master = 4 if precision == "bf16" else 0
    matrix, other = (master + 4 * len(optimizer.state_names(matrix=m)) for m in (True, False))
    dense = held.dense * matrix + held.others * other
    return dense / layout.dense_dp + held.experts * matrix / layout.expert_dp


def layers_in_flight(stage: int, num_layers: int, layout: Layout, micro_batches: int) -> float:
    """Layers x micro-batches whose activations a stage holds at most, under (interleaved) 1F1B.

    Plain: p - i micro-batches. Interleaved (arXiv:2104.04473): (v - 1) p + 2 (p - i - 1) + 1
    chunks of 1/v of the layers.
    """
    p, v = layout.pp, layout.virtual_stages
    chunks = p - stage if v == 1 else (v - 1) * p + 2 * (p - stage - 1) + 1
    return min(chunks, micro_batches * v) * num_layers / v


def memory_of_stages(
    shape: ModelShape,
    layout: Layout,
    *,
    sequence_length: int,
    micro_batches: int,
    precision: Precision,
    optimizer: UpdateRule,
) -> list[Memory]:
    """Bytes of a rank of each stage at its peak.

    Args:
        shape: the model.
        layout: how it lies.
        sequence_length: tokens a sequence.
        micro_batches: forward passes of each replica in a step.
        precision: of weights and activations; gradients and optimizer are fp32.
        optimizer: tells the buffers that it keeps.
    """
    width = 2 if precision == "bf16" else 4
    tokens = layout.micro_batch * sequence_length / layout.cp
    gathered = gathered_bytes(shape, layout, layout.micro_batch * sequence_length, width)
    found = []
    layers = layers_of_stages(shape.num_layers, layout)
    bytes_of = {sparse: layer_bytes(shape, layout, sparse, width) for sparse in (False, True)}
    again_of = {s: _recomputed_bytes(shape, layout, s, width) for s in (False, True)}
    for stage, held in enumerate(held_by_stages(shape, layout)):
        kinds = [layer >= shape.num_dense_layers for layer in layers[stage]]
        mean = sum(bytes_of[sparse] for sparse in kinds) / len(kinds) * tokens
        in_flight = layers_in_flight(stage, len(kinds), layout, micro_batches)
        kept = in_flight
        if layout.offload:
            kept = min(in_flight, LAYERS_ON_DEVICE)
        activations = kept * mean + max(again_of[sparse] for sparse in kinds) * tokens + gathered
        last = stage == layout.pp - 1
        found.append(
            Memory(
                parameters=held.total * width,
                gradients=held.total * 4,
                optimizer=optimizer_bytes(held, layout, precision, optimizer),
                activations=activations,
                # logits, their softmax's gradient and the fp32 copy between
                logits=tokens * shape.vocab_size / layout.tp * (width + 4 + 4) if last else 0.0,
                host=(in_flight - kept) * mean,
            )
        )
    return found


def gathered_bytes(shape: ModelShape, layout: Layout, tokens: float, width: int) -> float:
    """Whole rows' keys, values and their gradients, while a layer's attention goes backward.

    Context-parallel ranks gather them; they do not last from the forward to the backward pass.
    """
    if layout.cp == 1:
        return 0.0
    widths = shape.qk_nope_head_dim + shape.qk_rope_head_dim + shape.v_head_dim
    return 2 * tokens * shape.num_heads * widths * width / layout.tp


def _recomputed_bytes(shape: ModelShape, layout: Layout, sparse: bool, width: int) -> float:
    """The one layer, a token, that is whole again while its backward pass runs."""
    if layout.recompute == "none":
        return 0.0
    whole = Layout(num_ranks=layout.num_ranks, tp=layout.tp)
    whole_bytes = layer_bytes(shape, whole, sparse, width)
    return whole_bytes - layer_bytes(shape, layout, sparse, width)
