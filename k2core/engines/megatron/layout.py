"""How a model lies over ranks: sizes that must divide, stages of layers, who deals which rows."""

from typing import NamedTuple

from schemas.model import ModelShape
from schemas.placement import Placement


class Seat(NamedTuple):
    """A rank's coordinates; Megatron's order, tensor-parallel ranks nearest, stages farthest."""

    tensor: int
    data: int
    stage: int


def find_seat(rank: int, placement: Placement) -> Seat:
    """The coordinates of a rank."""
    data_size = placement.num_ranks // (placement.tp * placement.pp)
    rest, tensor = divmod(rank, placement.tp)
    stage, data = divmod(rest, data_size)
    return Seat(tensor, data, stage)


def check_layout(shape: ModelShape, placement: Placement) -> None:
    """Refuse what cannot run, before any process starts.

    Raises:
        ValueError: names the sizes that do not divide.
    """
    p = placement
    sparse = shape.num_dense_layers < shape.num_layers
    shared = shape.num_shared_experts * shape.moe_ffn_hidden_size
    divides = [
        ("model.num_heads", shape.num_heads, "tp", p.tp),
        ("model.vocab_size", shape.vocab_size, "tp", p.tp),
        ("model.ffn_hidden_size", shape.ffn_hidden_size, "tp", p.tp),
        ("the shared experts' width", shared if sparse else 0, "tp", p.tp),
        ("model.num_experts", shape.num_experts if sparse else 0, "ep", p.ep),
    ]
    for name, value, divisor, size in divides:
        if value % size:
            raise ValueError(f"{name}={value} is not a multiple of placement.{divisor}={size}")
    if shape.num_layers < p.pp:
        raise ValueError(
            f"placement.pp={p.pp} exceeds model.num_layers={shape.num_layers}: "
            "a stage needs a layer"
        )


def stage_layers(num_layers: int, num_stages: int) -> list[list[str]]:
    """Megatron's pipeline layout: layers as even as possible, the earlier stages larger."""
    stages = []
    for stage in range(num_stages):
        count = num_layers // num_stages + (stage < num_layers % num_stages)
        stages.append(["decoder"] * count)
    stages[0].insert(0, "embedding")
    stages[-1].append("loss")
    return stages
