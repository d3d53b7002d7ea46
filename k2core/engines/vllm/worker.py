"""What runs inside vLLM's worker: weight updates that really take effect."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def forget_packed_experts(model: "torch.nn.Module") -> int:
    """W3: make the fused MoE pack its experts again after the next loading of weights.

    On the CPU `UnquantizedFusedMoEMethod` packs expert weights while it builds its kernel, and
    builds none where one exists already: after an update raw weights would meet a kernel that
    expects packed ones (8 nats off, no error).

    Returns:
        How many MoE layers there are.
    """
    methods: list[Any] = [getattr(module, "quant_method", None) for module in model.modules()]
    experts = [m for m in methods if getattr(m, "moe_kernel", None) is not None]
    for method in experts:
        method.moe_kernel = None
    return len(experts)


class WeightUpdates:
    """Worker extension: its methods are called by `LLM.collective_rpc`."""

    model_runner: Any

    def load_tensors(self, tensors: Mapping[str, "Tensor"]) -> None:
        """Replace all weights, layer by layer, as if they had been loaded at the start."""
        forget_packed_experts(self.model_runner.get_model())
        self.model_runner.reload_weights(weights_iterator=iter(tensors.items()))
