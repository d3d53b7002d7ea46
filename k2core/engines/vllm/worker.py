"""What runs inside vLLM's workers: weights that really take effect, with a receipt for them."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k2core.model.digest import Receipt, as_served
from k2core.model.shards import CheckpointReader

if TYPE_CHECKING:
    import torch

    from k2core.engines.vllm.transfer import Kept

TRANSFERS = {
    "k2_gloo": "GlooTransfer",
    "k2_nccl": "NcclTransfer",
    "k2_ipc": "IpcTransfer",
}
"""Names in vLLM's registry, with their classes in `k2core.engines.vllm.transfer`."""


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


def repack_tied_weights(model: "torch.nn.Module") -> int:
    """W7: have layers that share their weight pack it as it is now, to be called after a loading.

    On the CPU a layer computes with a packed copy. Where input and output embedding are one, the
    checkpoint has the weight once, under the input's name, and only that layer is packed anew: the
    output would go on with what the engine was started with (meaningless text, no error).

    Returns:
        How many layers were packed.
    """
    layers: list[Any] = [module for module in model.modules() if hasattr(module, "cpu_linear")]
    sharing = Counter(id(layer.weight) for layer in layers)
    tied = [layer for layer in layers if sharing[id(layer.weight)] > 1]
    for layer in tied:
        layer.quant_method.process_weights_after_loading(layer)
    return len(tied)


class WeightUpdates:
    """Worker extension: its methods are called by `LLM.collective_rpc`."""

    model_runner: Any
    model_config: Any
    weight_transfer_engine: Any
    finish_weight_update: Callable[[], None]

    def run_lean(self) -> bool:
        """Make tokens in few calls, on CPU cores; whether the model can (`lean`)."""
        from k2core.engines.vllm.lean import run_lean

        return run_lean(self.model_runner.get_model())

    def load_folder(self, folder: str) -> str:
        """Serve a checkpoint's weights, of which one at a time is read; returns the receipt."""
        receipt, reader = Receipt(), CheckpointReader(Path(folder))
        forget_packed_experts(self.model_runner.get_model())
        named = ((name, reader.read(name)) for name in reader.shapes)
        served = receipt.note(as_served(named, self.model_config.dtype))
        self.model_runner.reload_weights(weights_iterator=served)
        repack_tied_weights(self.model_runner.get_model())
        return receipt.digest

    def weights_receipt(self) -> str:
        """For the tensors of the last transfer, as this worker was given them."""
        return self.weights_noted().digest

    def weights_noted(self) -> Receipt:
        """The same, tensor by tensor."""
        receipt: Receipt = self.weight_transfer_engine.receipt
        return receipt

    def weights_fault(self) -> str:
        """Why the last round of a transfer broke off, if it did; another may begin then."""
        fault: str = getattr(self.weight_transfer_engine, "fault", "")
        if fault:
            self.finish_weight_update()
        return fault

    def give_kept(self) -> "list[Kept]":
        """What the last round brought, if it was to be kept; from now on it is not."""
        kept: list[Kept] = self.weight_transfer_engine.kept
        self.weight_transfer_engine.kept = []
        return kept


def _register_transfers() -> None:
    from vllm.distributed.weight_transfer import WeightTransferEngineFactory

    for name, transfer in TRANSFERS.items():
        WeightTransferEngineFactory.register_engine(name, "k2core.engines.vllm.transfer", transfer)


_register_transfers()  # vLLM imports this module in each worker, before it makes the engine
