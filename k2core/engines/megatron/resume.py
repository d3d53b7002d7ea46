"""A running training's state on disk: what an exact continuation needs, rank by rank."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch.distributed as dist
from megatron.core import parallel_state
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from k2core.engines.megatron.matrices import is_expert, tensor_split
from k2core.engines.megatron.optimizer import ShardedOptimizer
from k2core.engines.megatron.shards import list_shards
from schemas.placement import Placement


def _place(name: str, optimizer: ShardedOptimizer) -> str:
    """Which part of a whole tensor a parameter is, where TP or EP splits it."""
    if is_expert(name):
        return f"{name}@{parallel_state.get_expert_model_parallel_rank()}"
    if tensor_split(optimizer.parameters[name]) is not None:
        return f"{name}@{parallel_state.get_tensor_model_parallel_rank()}"
    return name


def _buffers(model: Any, optimizer: ShardedOptimizer) -> dict[str, Tensor]:
    """The router's biases: equal on all ranks that hold the layer."""
    shards = list_shards(model)
    return {n: s.tensor for n, s in shards.items() if n not in optimizer.parameters}


def save_rank(folder: Path, model: Any, optimizer: ShardedOptimizer, placement: Placement) -> None:
    """Write `rank-RANK.safetensors`, and on rank 0 `state.json`.

    Returns on all ranks when all have written; the caller renames the folder into place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rank, found = dist.get_rank(), dict[str, Tensor]()
    for key, tensor in optimizer.named_states().items():
        kind, name, start = key.split("/")
        found[f"{kind}/{_place(name, optimizer)}/{start}"] = tensor.cpu().clone()
    found |= {f"buffer/{n}": t.cpu().clone() for n, t in _buffers(model, optimizer).items()}
    save_file(found, folder / f"rank-{rank:05d}.safetensors")
    if rank == 0:
        state = {
            "num_steps": optimizer.num_steps,
            "placement": placement.model_dump(),
            "optimizer": optimizer.rule.config.kind,
        }
        (folder / "state.json").write_text(json.dumps(state))
    dist.barrier()


def load_rank(folder: Path, model: Any, optimizer: ShardedOptimizer, placement: Placement) -> None:
    """Take up a saved state; other numbers of data-parallel ranks or stages are fine.

    Raises:
        FileNotFoundError: the folder is not a whole state.
        ValueError: another optimizer, tensor- or expert-parallel size wrote it.
    """
    state = json.loads((folder / "state.json").read_text())
    if state["optimizer"] != (kind := optimizer.rule.config.kind):
        raise ValueError(
            f"{folder} holds the state of optim.kind={state['optimizer']}, which optim.kind={kind} "
            "cannot take up: keep the kind, or start from an exported checkpoint"
        )
    for size in ("tp", "ep"):
        wrote, reads = state["placement"][size], getattr(placement, size)
        if wrote != reads:
            raise ValueError(
                f"{folder} was written with placement.{size}={wrote} and cannot be taken up with "
                f"{size}={reads}: keep {size}, or start from an exported checkpoint"
            )
    pieces: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for rank in range(state["placement"]["num_ranks"]):
        path = folder / f"rank-{rank:05d}.safetensors"
        with safe_open(path, "pt") as file:
            for key in file.keys():  # noqa: SIM118 (no mapping)
                whole, _, start = key.rpartition("/")
                pieces[key if key.startswith("buffer/") else whole].append(
                    (int(start) if start.isdigit() else 0, path)
                )
    for key, target in optimizer.named_states().items():
        kind, name, start = key.split("/")
        _fill(target, int(start), f"{kind}/{_place(name, optimizer)}", pieces)
    for name, buffer in _buffers(model, optimizer).items():
        key = f"buffer/{name}"
        with safe_open(pieces[key][0][1], "pt") as file:
            buffer.copy_(file.get_tensor(key))
    optimizer.num_steps = state["num_steps"]
    for bucket in optimizer.buckets:
        bucket.publish()


def _fill(target: Tensor, start: int, key: str, pieces: dict[str, list[tuple[int, Path]]]) -> None:
    """Elements `start` and on of a saved tensor, from whichever ranks' slices hold them."""
    filled = 0
    for begin, path in pieces[key]:
        with safe_open(path, "pt") as file:
            piece = file.get_slice(f"{key}/{begin}")
            size = piece.get_shape()[0]
            first, last = max(begin, start), min(begin + size, start + target.numel())
            if first < last:
                target[first - start : last - start] = piece[first - begin : last - begin]
                filled = max(filled, last - start)
    if filled < target.numel():
        raise FileNotFoundError(f"{key} is not whole in {path.parent}: a rank's file is missing")
