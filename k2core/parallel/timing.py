"""How long a step takes: compute at an assumed efficiency, exposed traffic, the bubble."""

from typing import NamedTuple

from k2core.optim.rule import UpdateRule
from k2core.parallel import traffic
from k2core.parallel.hardware import DEVICES
from k2core.parallel.layout import Layout, layers_of_stages, num_micro_batches
from k2core.parallel.memory import Precision, held_by_stages
from k2core.parallel.work import (
    layer_flops,
    matrix_update_flops,
    output_flops,
    recomputed_flops,
    training_flops,
)
from schemas.model import ModelShape


class StepTime(NamedTuple):
    """Seconds of one optimizer step, and what follows from them."""

    compute: float
    """The heaviest stage's arithmetic over all micro-batches."""
    all_to_all: float
    """Dispatch and combine, before anything hides them."""
    exposed: float
    """Of that, of tensor-, context- and pipeline-parallel traffic, and of copies to the host and
    back, what is waited for."""
    context: float
    """Of that: context-parallel gathers."""
    offload: float
    """Copies to the host and back, before anything hides them."""
    bubble: float
    """The pipeline's ramp-up and drain."""
    gradients: float
    """Reduction of gradients and gathering of weights, not overlapped."""
    optimizer: float
    """Its products of whole matrices; what goes element by element is not counted."""
    tokens: int
    """Of the step."""
    utilization: float
    """Model FLOPs over the devices' bf16 peak (MFU)."""

    @property
    def seconds(self) -> float:
        """The step."""
        return self.compute + self.exposed + self.bubble + self.gradients + self.optimizer

    @property
    def bubble_frac(self) -> float:
        """Share of the pipelined time in which a stage waits."""
        return self.bubble / (self.compute + self.exposed + self.bubble)


def time_step(
    shape: ModelShape,
    layout: Layout,
    *,
    batch_size: int,
    sequence_length: int,
    precision: Precision,
    efficiency: float,
    fp8_compute: bool = False,
    optimizer: UpdateRule,
) -> StepTime:
    """Predict a step.

    Args:
        shape: the model.
        layout: how it lies.
        batch_size: sequences a step.
        sequence_length: tokens a sequence.
        precision: of weights and gathered parameters.
        efficiency: share of the device's peak that its kernels reach while they run.
        fp8_compute: matrix products in FP8 (DeepSeek-V3); K2 computes in bf16.
        optimizer: tells what it computes and gathers.
    """
    device, count = DEVICES[layout.gpu], num_micro_batches(layout, batch_size)
    width = 2 if precision == "bf16" else 4
    speed = efficiency * (device.fp8_peak if fp8_compute else device.peak)
    rows = batch_size / layout.dp / count  # sequences of a micro-batch, on average
    tokens = round(rows * sequence_length / layout.cp)
    stages = layers_of_stages(shape.num_layers, layout)
    flops = _heaviest_stage_flops(shape, layout, sequence_length)
    compute = flops * tokens / layout.tp / speed
    num_sparse = max(sum(x >= shape.num_dense_layers for x in layers) for layers in stages)
    # dispatch and combine, forward and backward
    a2a = 4 * num_sparse * traffic.all_to_all(shape, layout, tokens).seconds(device)
    tp = max(map(len, stages)) * traffic.tensor_parallel(shape, layout, tokens).seconds(device)
    hand_over = traffic.pipeline(shape, layout, tokens).seconds(device)
    # interleaved 1F1B hides traffic behind another micro-batch's compute (arXiv:2507.20534, 2.4.2)
    hidden = compute if layout.virtual_stages > 1 else 0.0
    cp = max(map(len, stages)) * traffic.context_parallel(shape, layout, tokens).seconds(device)
    copies = traffic.offloaded(shape, layout, tokens, width) / device.host_link
    exposed = tp + cp + max(0.0, a2a + hand_over - hidden) + _copies_waited_for(copies, compute)
    bubble = (layout.pp - 1) / layout.virtual_stages * (compute + exposed)
    update = matrix_update_flops(shape, layout, optimizer)
    step = StepTime(
        compute=compute * count,
        all_to_all=a2a * count,
        exposed=exposed * count,
        context=cp * count,
        offload=2 * copies * count,
        bubble=bubble,
        gradients=max(
            traffic.gradients(held, layout, width, optimizer).seconds(device)
            for held in held_by_stages(shape, layout)
        ),
        optimizer=update / (efficiency * device.peak),
        tokens=batch_size * sequence_length,
        utilization=0.0,
    )
    useful = training_flops(shape, sequence_length) * step.tokens
    return step._replace(utilization=useful / (step.seconds * layout.num_ranks * device.peak))


def _copies_waited_for(copies: float, compute: float) -> float:
    """Out behind the forward pass, a third of the work, and in behind the backward pass."""
    return max(0.0, copies - compute / 3) + max(0.0, copies - compute * 2 / 3)


def _heaviest_stage_flops(shape: ModelShape, layout: Layout, sequence_length: int) -> float:
    stages = layers_of_stages(shape.num_layers, layout)
    return max(
        _stage_flops(shape, layout, layers, sequence_length, last=index == layout.pp - 1)
        for index, layers in enumerate(stages)
    )


def _stage_flops(
    shape: ModelShape, layout: Layout, layers: list[int], sequence_length: int, *, last: bool
) -> float:
    """FLOPs of a token in one stage, forward, backward and repeated."""
    total = 3 * output_flops(shape) if last else 0.0
    num_sparse = sum(layer >= shape.num_dense_layers for layer in layers)
    for sparse, count in ((False, len(layers) - num_sparse), (True, num_sparse)):
        once = 3 * layer_flops(shape, sparse, sequence_length)
        total += count * (once + recomputed_flops(shape, layout, sparse, sequence_length))
    return total
