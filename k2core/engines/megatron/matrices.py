"""What in a parameter is a matrix of its own to an optimizer."""

from collections.abc import Mapping
from itertools import cycle
from typing import NamedTuple

from torch import Tensor

from schemas.model import ModelShape
from schemas.optim import OptimConfig

_TABLES = ("embedding.word_embeddings.weight", "output_layer.weight")
_QUERIES = ("linear_q_up_proj.weight", "linear_q_proj.weight")
_KEYS_VALUES = "linear_kv_up_proj.weight"
EXPERTS = ("experts.weight1", "experts.weight2")


class Matrix(NamedTuple):
    """A matrix, or this tensor-parallel rank's part of it, inside a bucket's flat buffer."""

    parameter: str
    start: int
    """First element, from the start of the bucket."""
    rows: int
    columns: int
    split: int | None
    """Axis along which tensor-parallel ranks each hold a part; None: the matrix is whole."""

    @property
    def stop(self) -> int:
        """One past the last element."""
        return self.start + self.rows * self.columns


def is_expert(name: str) -> bool:
    """Routed experts live in a data-parallel group of their own."""
    return name.endswith(EXPERTS)


def tensor_split(parameter: Tensor) -> int | None:
    """Axis along which tensor-parallel ranks hold parts of a parameter, by Megatron's marks."""
    if getattr(parameter, "tensor_model_parallel", False):
        return int(parameter.partition_dim)  # type: ignore[attr-defined]
    return None


def is_matrix(name: str, parameter: Tensor) -> bool:
    """A hidden weight matrix or a stack of them.

    Norm gains, the embedding and the output layer are none (arXiv:2502.16982, section 2.2).
    """
    return parameter.dim() >= 2 and not name.endswith(_TABLES)


def matrix_heights(
    name: str, parameter: Tensor, config: OptimConfig, shape: ModelShape
) -> tuple[int, ...] | None:
    """Rows of the matrices that a parameter is made of, in turn; None if it `is_matrix` not."""
    if not is_matrix(name, parameter):
        return None
    rows = parameter.shape[-2]
    if parameter.dim() == 3 and not config.split_experts:
        return (parameter.shape[0] * rows,)
    if name.endswith(("linear_fc1.weight", "experts.weight1")) and config.split_gate_up:
        return rows // 2, rows // 2
    if name.endswith(_QUERIES) and config.split_heads:
        return (shape.qk_nope_head_dim + shape.qk_rope_head_dim,)
    if name.endswith(_KEYS_VALUES) and config.split_heads:
        return shape.qk_nope_head_dim, shape.v_head_dim
    return (rows,)


def list_matrices(
    parameters: Mapping[str, Tensor], config: OptimConfig, shape: ModelShape
) -> list[Matrix]:
    """All matrices of a bucket that lays these parameters end to end, in order."""
    found, start = [], 0
    for name, parameter in parameters.items():
        heights, stop = matrix_heights(name, parameter, config, shape), start + parameter.numel()
        if heights is not None:
            columns, split = parameter.shape[-1], tensor_split(parameter)
            if config.split_heads and name.endswith((*_QUERIES, _KEYS_VALUES)):
                split = None  # tensor-parallel ranks hold whole heads
            place = start
            for rows in cycle(heights):
                if place == stop:
                    break
                found.append(Matrix(name, place, rows, columns, split))
                place = found[-1].stop
        start = stop
    return found
