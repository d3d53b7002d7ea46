"""What an engine needs and gives: weights and keys on each device, tokens a second."""

from typing import NamedTuple

from k2core.model.counts import count_expert
from k2core.parallel.hardware import DEVICES, Device
from k2core.parallel.layout import Layout, size_misfits
from k2core.parallel.memory import held_by_stages
from k2core.parallel.plan import Assumptions, LayoutError
from k2core.parallel.work import layer_flops, output_flops
from schemas.model import ModelShape
from schemas.placement import GpuName, Serving

_HOP_S = 10e-6
"""Of an all-reduce of few bytes: what starting it takes."""
_SET_ASIDE = 0.05
"""Share of an engine's memory that activations, graphs and buffers take."""


class Demand(NamedTuple):
    """Dialogues that engines are asked for."""

    dialogues: int
    longest: int
    """Tokens of a dialogue at most, its prompt included."""
    mean: int
    """Tokens of one, of which most are written by the model."""
    max_num_seqs: int
    """In flight together, an engine."""


class MetDemand(NamedTuple):
    """A demand met by engines."""

    weights: float
    """Bytes on each device."""
    room: float
    """Bytes on each device for keys and values."""
    together: int
    """Dialogues of mean length in flight, an engine."""
    tokens_per_second: float
    """Written by all engines."""
    seconds: float
    """Until the last dialogue ends."""


def arithmetic_width(serving: Serving, gpu: GpuName) -> int:
    """Bytes of a weight as it is served."""
    return {"float32": 4, "bfloat16": 2, None: 4 if gpu == "cpu" else 2}[serving.dtype]


def weight_bytes(shape: ModelShape, serving: Serving, width: int) -> float:
    """On a device of the fullest stage: tensor-parallel ranks share the experts either way."""
    layout = Layout(serving.devices, tp=serving.tp, pp=serving.pp)
    stages = held_by_stages(shape, layout)
    return max(h.dense + h.others + h.experts / serving.tp for h in stages) * width


def key_bytes(shape: ModelShape, serving: Serving, width: int) -> float:
    """Of a token on a device: MLA's latent, which tensor-parallel ranks each hold whole."""
    layers = -(-shape.num_layers // serving.pp)
    return layers * (shape.kv_lora_rank + shape.qk_rope_head_dim) * width


def plan_serving(
    shape: ModelShape,
    serving: Serving,
    gpu: GpuName,
    ranks_per_node: int,
    demand: Demand,
    assumptions: Assumptions,
) -> MetDemand:
    """Predict how long a demand takes.

    Decoding waits for memory: each step reads the weights that its batch touches and all keys.

    Raises:
        LayoutError: an engine cannot hold it; gives every reason.
    """
    device, width = DEVICES[gpu], arithmetic_width(serving, gpu)
    layout = Layout(
        serving.devices, tp=serving.tp, pp=serving.pp, gpu=gpu, ranks_per_node=ranks_per_node
    )
    reasons = [reason.replace("placement.", "serving.") for reason in size_misfits(shape, layout)]
    if serving.tp > ranks_per_node:
        reasons.append(f"serving.tp={serving.tp} exceeds ranks_per_node={ranks_per_node}")
    weights = weight_bytes(shape, serving, width)
    share = 1.0 if gpu == "cpu" else serving.memory_frac
    room = device.memory * share * (1 - _SET_ASIDE) - weights
    a_token = key_bytes(shape, serving, width)
    if demand.longest * a_token > room:
        reasons.append(
            f"an engine's device needs {weights / 1e9:.1f} GB of weights and "
            f"{demand.longest * a_token / 1e9:.1f} GB for the keys of one dialogue of "
            f"{demand.longest:,} tokens, and has {device.memory * share / 1e9:.1f} GB: raise "
            "serving.tp, pp or memory_frac, or shorten dialogues"
        )
    if reasons:
        raise LayoutError("; ".join(reasons))
    each = -(-demand.dialogues // serving.num_engines)
    together = max(1, min(each, demand.max_num_seqs, int(room / (demand.mean * a_token))))
    batch = -(-together // serving.pp)  # as many batches as stages are under way
    step = _step_seconds(shape, serving, device, width, batch, demand.mean, assumptions)
    waves = -(-each // together)
    seconds = waves * demand.mean * step
    return MetDemand(weights, room, together, demand.dialogues * demand.mean / seconds, seconds)


def _step_seconds(
    shape: ModelShape,
    serving: Serving,
    device: Device,
    width: int,
    batch: int,
    length: int,
    assumptions: Assumptions,
) -> float:
    """Of a token of each dialogue of a batch, through one stage of layers after another."""
    s = shape
    sparse = s.num_layers - s.num_dense_layers
    untouched = s.num_experts * (1 - s.experts_per_token / s.num_experts) ** batch
    read = weight_bytes(s, Serving(), width) - sparse * untouched * count_expert(s) * width
    read += batch * length / 2 * key_bytes(s, Serving(), width) * serving.tp
    flops = sum(
        layer_flops(s, layer >= s.num_dense_layers, length) for layer in range(s.num_layers)
    )
    compute = batch * (flops + output_flops(s)) / serving.tp
    reduced = 2 * s.num_layers * (serving.tp > 1)
    return max(
        read / serving.tp / (device.bandwidth * assumptions.efficiency),
        compute / (device.peak * assumptions.efficiency),
    ) + reduced * (_HOP_S + batch * s.hidden_size * width / device.fast_link)
