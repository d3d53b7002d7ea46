"""How layers, experts and data lie over ranks, and what cannot lie there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from schemas.model import ModelShape
from schemas.placement import GpuName, Placement


@dataclass(frozen=True)
class Layout:
    """Parallel sizes and what saves activation memory.

    K2's own (arXiv:2507.20534, section 2.4): 16 stages with virtual stages, 16-way experts, ZeRO-1
    over the rest, selective recomputation, FP8 storage, the remaining activations on the host.
    """

    num_ranks: int
    tp: int = 1
    cp: int = 1
    pp: int = 1
    ep: int = 1
    virtual_stages: int = 1
    """Chunks of layers a pipeline rank holds; above 1 the schedule is interleaved 1F1B."""
    micro_batch: int = 1
    """Sequences a forward pass."""
    gpu: GpuName = "cpu"
    ranks_per_node: int = 8
    recompute: Literal["none", "selective", "full"] = "none"
    """selective: norms, SwiGLU, MLA's up-projections and the experts' down-projections."""
    fp8_storage: bool = False
    """Keep the inputs of the experts' up-projections and of SwiGLU in E4M3, 1 x 128 tiles."""
    offload: bool = False
    """Stream what activations are left to host memory."""

    @property
    def dp(self) -> int:
        """Model replicas, each with sequences of its own."""
        return self.num_ranks // (self.tp * self.cp * self.pp)

    @property
    def dense_dp(self) -> int:
        """Replicas of the attention and dense weights, context-parallel ranks among them."""
        return self.num_ranks // (self.tp * self.pp)

    @property
    def expert_dp(self) -> int:
        """Replicas of each routed expert."""
        return self.num_ranks // (self.ep * self.pp)

    def __str__(self) -> str:
        """`TP1 PP16x3 EP16 DP32`."""
        virtual = f"x{self.virtual_stages}" if self.virtual_stages > 1 else ""
        context = f" CP{self.cp}" if self.cp > 1 else ""
        return f"TP{self.tp}{context} PP{self.pp}{virtual} EP{self.ep} DP{self.dp}"


def layout_of(placement: Placement) -> Layout:
    """A placement's layout, as the engine runs it: without virtual stages."""
    p = placement
    return Layout(
        num_ranks=p.num_ranks,
        tp=p.tp,
        cp=p.cp,
        pp=p.pp,
        ep=p.ep,
        micro_batch=p.micro_batch,
        recompute=p.recompute,
        offload=p.offload,
        gpu=p.gpu,
        ranks_per_node=p.ranks_per_node,
    )


def layers_of_stages(num_layers: int, layout: Layout) -> list[list[int]]:
    """The layers of each pipeline rank: even chunks, the earlier ones larger, dealt in turn."""
    num_chunks = layout.pp * layout.virtual_stages
    small, larger = divmod(num_layers, num_chunks)
    stages: list[list[int]] = [[] for _ in range(layout.pp)]
    start = 0
    for chunk in range(num_chunks):
        stop = start + small + (chunk < larger)
        stages[chunk % layout.pp] += range(start, stop)
        start = stop
    return stages


def size_misfits(shape: ModelShape, layout: Layout) -> Iterator[str]:
    """Every reason why the model cannot lie over the ranks; none means that it can be built."""
    s, p = shape, layout
    sparse = s.num_dense_layers < s.num_layers
    shared = s.num_shared_experts * s.moe_ffn_hidden_size
    must_divide = [
        ("placement.num_ranks", p.num_ranks, "tp * cp * pp", p.tp * p.cp * p.pp),
        ("placement.num_ranks", p.num_ranks, "ep * pp", p.ep * p.pp),
        ("model.num_heads", s.num_heads, "placement.tp", p.tp),
        ("model.vocab_size", s.vocab_size, "placement.tp", p.tp),
        ("model.ffn_hidden_size", s.ffn_hidden_size, "placement.tp", p.tp),
        ("the shared experts' width", shared if sparse else 0, "placement.tp", p.tp),
        ("model.num_experts", s.num_experts if sparse else 0, "placement.ep", p.ep),
    ]
    for name, value, divisor, size in must_divide:
        if value % size:
            yield f"{name}={value} is not a multiple of {divisor}={size}"
    if p.pp * p.virtual_stages > s.num_layers:
        virtual, part = f" * virtual_stages={p.virtual_stages}", "virtual stage"
        if p.virtual_stages == 1:
            virtual, part = "", "stage"
        yield (
            f"placement.pp={p.pp}{virtual} exceeds model.num_layers={s.num_layers}: "
            f"a {part} needs a layer"
        )
    if not sparse and p.ep > 1:
        yield (
            f"placement.ep={p.ep}, and the model has no expert layers (num_dense_layers=num_layers)"
        )


def misfits(shape: ModelShape, layout: Layout, batch_size: int) -> Iterator[str]:
    """Every reason why a layout cannot run, or would crawl; none means that sizes divide.

    Args:
        shape: the model.
        layout: where it should lie.
        batch_size: sequences an optimizer step.
    """
    p = layout
    yield from size_misfits(shape, layout)
    if p.tp > p.ranks_per_node:
        yield (
            f"placement.tp={p.tp} exceeds ranks_per_node={p.ranks_per_node}: each matrix product "
            "would wait for the network"
        )
    if p.num_ranks >= p.tp * p.cp * p.pp and batch_size < p.dp:
        yield f"batch_size={batch_size} leaves some of dp={p.dp} replicas without a sequence"
    if p.virtual_stages > 1 and num_micro_batches(layout, batch_size) % p.pp:
        yield (
            f"{num_micro_batches(layout, batch_size)} micro-batches are not a multiple of "
            f"pp={p.pp}, which interleaved 1F1B needs: change batch_size or micro_batch"
        )


def num_micro_batches(layout: Layout, batch_size: int) -> int:
    """Forward passes a step of each replica, the last one perhaps not full."""
    return -(-batch_size // (layout.dp * layout.micro_batch))
