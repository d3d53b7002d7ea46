"""The identity of a set of weights: the receipt that a server gives for what it serves."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def tensors_digest(weights: Mapping[str, "Tensor"]) -> str:
    """SHA-256 over sorted names, dtypes, shapes and bytes, with its `sha256:` prefix."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"
