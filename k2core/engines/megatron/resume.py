"""A running training's state: what an exact continuation needs, a file a rank and an index.

`rank-RANK.safetensors` are a rank's own tensors, or slices of flat ones; `index.json` says for each
tensor who has which elements of it; `state.json` what wrote them. A rank that loads reads the index
and, of the files, those that hold elements of its own: on the same layout its own alone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from megatron.core import parallel_state
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from k2core.engines.learner import Fetch, Writing
from k2core.engines.megatron.matrices import is_expert, tensor_split
from k2core.engines.megatron.optimizer import ShardedOptimizer
from k2core.engines.megatron.shards import list_shards
from k2core.engines.torchrun.group import Ranks
from schemas.placement import Placement


class _Piece(NamedTuple):
    """Elements of a tensor that a rank's file holds."""

    rank: int
    start: int
    size: int


_Index = dict[str, list[_Piece]]
"""By tensor."""


class RankSnapshot(NamedTuple):
    """A rank's part of a state, copied to the host: training goes on meanwhile."""

    rank: int
    tensors: Mapping[str, Tensor]
    """By `kind/parameter/first element`, or `buffer/name/0`."""
    texts: Mapping[str, str]
    """Other files by name: rank 0's."""

    def write(self, writing: Writing) -> None:
        """Write this rank's files."""
        with writing(_file(self.rank)) as path:
            save_file(dict(self.tensors), path)
        for name, text in self.texts.items():
            with writing(name) as path:
                path.write_text(text)


def take_snapshot(
    model: Any, optimizer: ShardedOptimizer, placement: Placement, ranks: Ranks
) -> RankSnapshot:
    """Copy a rank's part; all ranks take part, for rank 0 has the index."""
    states = optimizer.named_states()
    tensors = {_stored(key, optimizer): _copy(tensor) for key, tensor in states.items()}
    buffers = _buffers(model, optimizer)
    tensors |= {f"buffer/{name}/0": _copy(tensor) for name, tensor in buffers.items()}
    held = ranks.collect({key: tensor.numel() for key, tensor in tensors.items()})
    if ranks.rank:
        return RankSnapshot(ranks.rank, tensors, {})
    index: _Index = {}
    for rank, sizes in enumerate(held):
        for key, size in sizes.items():
            whole, _, start = key.rpartition("/")
            index.setdefault(whole, []).append(_Piece(rank, int(start), size))
    state = {
        "num_steps": optimizer.num_steps,
        "placement": placement.model_dump(),
        "optimizer": optimizer.rule.config.kind,
    }
    texts = {"index.json": json.dumps(index), "state.json": json.dumps(state)}
    return RankSnapshot(0, tensors, texts)


def load_rank(
    fetch: Fetch, model: Any, optimizer: ShardedOptimizer, placement: Placement, rank: int
) -> None:
    """Take up a saved state; other numbers of data-parallel ranks or stages are fine.

    Raises:
        FileNotFoundError: it is not a whole state.
        ValueError: another optimizer, tensor- or expert-parallel size wrote it.
    """
    where = fetch("state.json")
    state = json.loads(where.read_text())
    if state["optimizer"] != (kind := optimizer.rule.config.kind):
        raise ValueError(
            f"{where} is the state of optim.kind={state['optimizer']}, which optim.kind={kind} "
            "cannot take up: keep the kind, or start from an exported checkpoint"
        )
    for size in ("tp", "ep"):
        wrote, reads = state["placement"][size], getattr(placement, size)
        if wrote != reads:
            raise ValueError(
                f"{where} was written with placement.{size}={wrote} and cannot be taken up with "
                f"{size}={reads}: keep {size}, or start from an exported checkpoint"
            )
    reader = _Reader(fetch, rank)
    for key, target in optimizer.named_states().items():
        reader.fill(target, *_split(_stored(key, optimizer)))
    for name, buffer in _buffers(model, optimizer).items():
        reader.fill(buffer, f"buffer/{name}", 0)
    optimizer.num_steps = state["num_steps"]
    for bucket in optimizer.buckets:
        bucket.publish()


class _Reader:
    """The files of a state that hold something of this rank's."""

    def __init__(self, fetch: Fetch, rank: int) -> None:
        self._fetch, self._rank = fetch, rank
        pieces: dict[str, list[Sequence[int]]] = json.loads(fetch("index.json").read_text())
        self._index: _Index = {key: [_Piece(*p) for p in found] for key, found in pieces.items()}
        self._open: dict[int, Any] = {}

    def fill(self, target: Tensor, key: str, start: int) -> None:
        """A tensor's elements from `start` on, from whichever ranks' files hold them."""
        filled, size = 0, target.numel()
        for piece in self._nearest(key):
            first, last = max(piece.start, start), min(piece.start + piece.size, start + size)
            if first < last and filled < size:
                part = self._file(piece.rank).get_slice(f"{key}/{piece.start}")
                target[first - start : last - start] = part[
                    first - piece.start : last - piece.start
                ]
                filled += last - first
        if filled < size:
            raise FileNotFoundError(
                f"{key} is not whole in {self._fetch('index.json').parent}: {filled} of {size} "
                f"elements from {start} on"
            )

    def _nearest(self, key: str) -> Iterator[_Piece]:
        """What each element is held by: where several ranks have copies, this rank's own."""
        own = [piece for piece in self._index.get(key, []) if piece.rank == self._rank]
        seen = {piece[1:] for piece in own}
        yield from own
        for piece in self._index.get(key, []):
            if piece[1:] not in seen:
                seen.add(piece[1:])
                yield piece

    def _file(self, rank: int) -> Any:
        if rank not in self._open:
            self._open[rank] = safe_open(self._fetch(_file(rank)), "pt")
        return self._open[rank]


def _file(rank: int) -> str:
    return f"rank-{rank:05d}.safetensors"


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


def _stored(key: str, optimizer: ShardedOptimizer) -> str:
    """A state's key with the part of a whole tensor that it is of, where TP or EP splits it."""
    kind, name, start = key.split("/")
    return f"{kind}/{_place(name, optimizer)}/{start}"


def _split(key: str) -> tuple[str, int]:
    whole, _, start = key.rpartition("/")
    return whole, int(start)


def _place(name: str, optimizer: ShardedOptimizer) -> str:
    if is_expert(name):
        return f"{name}@{parallel_state.get_expert_model_parallel_rank()}"
    if tensor_split(optimizer.parameters[name]) is not None:
        return f"{name}@{parallel_state.get_tensor_model_parallel_rank()}"
    return name


def _buffers(model: Any, optimizer: ShardedOptimizer) -> dict[str, Tensor]:
    """The router's biases: equal on all ranks that hold the layer."""
    shards = list_shards(model)
    return {n: s.tensor for n, s in shards.items() if n not in optimizer.parameters}
