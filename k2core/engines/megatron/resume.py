"""A running training's state on disk: what an exact continuation needs, rank by rank."""

import json
from pathlib import Path
from typing import Any

import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor

from k2core.engines.megatron.optimizer import MuonClipOptimizer


def _weights(model: Any) -> dict[str, Tensor]:
    return {n: t for n, t in model.state_dict().items() if isinstance(t, Tensor)}


def save_rank(folder: Path, model: Any, optimizer: MuonClipOptimizer) -> None:
    """Write `optimizer-RANK.safetensors`, and on rank 0 `weights.safetensors` and `state.json`.

    Returns on all ranks when all have written; the caller renames the folder into place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(optimizer.state_tensors(), folder / f"optimizer-{optimizer.rank:05d}.safetensors")
    if optimizer.rank == 0:
        weights = {n: t.cpu().contiguous() for n, t in _weights(model).items()}
        save_file(weights, folder / "weights.safetensors")
        state = {"num_steps": optimizer.num_steps, "num_ranks": optimizer.num_ranks}
        (folder / "state.json").write_text(json.dumps(state))
    dist.barrier()


def load_rank(folder: Path, model: Any, optimizer: MuonClipOptimizer) -> None:
    """Take up a saved state; another number of ranks than wrote it is fine.

    Raises:
        FileNotFoundError: the folder is not a whole state.
    """
    state = json.loads((folder / "state.json").read_text())
    shards: dict[str, Tensor] = {}
    for rank in range(state["num_ranks"]):
        shards |= load_file(folder / f"optimizer-{rank:05d}.safetensors")
    saved = load_file(folder / "weights.safetensors")
    for name, tensor in _weights(model).items():
        tensor.copy_(saved[name])
    optimizer.load_state_tensors(shards, state["num_steps"])
