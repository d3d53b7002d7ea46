"""How Megatron lays a model over ranks: a rank's coordinates, the layers of its stage."""

from typing import NamedTuple

from k2core.parallel.layout import layers_of_stages, layout_of, size_misfits
from schemas.model import ModelShape
from schemas.placement import Placement


class Seat(NamedTuple):
    """A rank's coordinates; Megatron's order: tensor-parallel ranks nearest, stages farthest."""

    tensor: int
    context: int
    data: int
    stage: int


def find_seat(rank: int, placement: Placement) -> Seat:
    """The coordinates of a rank."""
    rest, tensor = divmod(rank, placement.tp)
    rest, context = divmod(rest, placement.cp)
    stage, data = divmod(rest, placement.dp)
    return Seat(tensor, context, data, stage)


def check_layout(shape: ModelShape, placement: Placement) -> None:
    """Refuse what cannot run, before any process starts.

    Raises:
        ValueError: names every size that does not divide.
    """
    if reasons := list(size_misfits(shape, layout_of(placement))):
        raise ValueError("; ".join(reasons))


def stage_layers(num_layers: int, placement: Placement) -> list[list[str]]:
    """Megatron's words for the layers of each pipeline stage."""
    stages = [["decoder"] * len(s) for s in layers_of_stages(num_layers, layout_of(placement))]
    stages[0].insert(0, "embedding")
    stages[-1].append("loss")
    return stages
