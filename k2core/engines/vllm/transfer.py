"""vLLM's weight-transfer engines, as a worker has them: every tensor is noted for the receipt.

They differ in how bytes arrive. NCCL's and CUDA's are vLLM's own; where there is no GPU, buckets
come as arguments of the call.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.ipc_engine import IPCWeightTransferEngine
from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferEngine

from k2core.engines.buckets import unpack
from k2core.engines.vllm.reload import Reload
from k2core.engines.vllm.worker import forget_packed_experts, repack_tied_weights
from k2core.model.digest import NamedTensor, Receipt

if TYPE_CHECKING:
    import numpy as np


class _Noted:
    """Beside a transfer engine: what the model is given to load, the receipt lists."""

    model: Any
    receipt: Receipt

    def start_weight_update(self) -> None:
        """Begin a receipt, too."""
        self.receipt, load = Receipt(), self.model.load_weights
        super().start_weight_update()  # type: ignore[misc]

        def load_noted(named: Iterable[NamedTensor]) -> set[str]:
            loaded: set[str] = load(self.receipt.note(named))
            return loaded

        self.model.load_weights = load_noted  # hides the class's method

    def finish_weight_update(self) -> None:
        """All tensors are there."""
        del self.model.load_weights
        super().finish_weight_update()  # type: ignore[misc]


class NcclTransfer(_Noted, NCCLWeightTransferEngine):
    """From the trainer's first rank to all workers, in packed buckets."""


class IpcTransfer(_Noted, IPCWeightTransferEngine):
    """From the trainer's rank on the worker's own GPU, in packed buckets."""


@dataclass
class Nothing(WeightTransferInitInfo):
    """There is nothing to agree on."""


@dataclass
class WeightBucket(WeightTransferUpdateInfo):
    """Some of the weights (`k2core.engines.buckets`)."""

    names: list[str]
    dtype_names: list[str]
    shapes: list[list[int]]
    data: "np.ndarray"


class _BucketEngine(WeightTransferEngine[Nothing, WeightBucket]):
    init_info_cls, update_info_cls = Nothing, WeightBucket

    def init_transfer_engine(self, init_info: Nothing) -> None:
        """Nothing to do."""

    def start_weight_update(self) -> None:
        """As if the weights were loaded for the first time."""
        forget_packed_experts(self.model)
        self._reload = Reload(self.model)

    def receive_weights(self, update_info: WeightBucket) -> None:
        """Take up a bucket."""
        self._reload.note(self.model.load_weights(unpack(**vars(update_info))))

    def finish_weight_update(self) -> None:
        """Make the kernels' layout of them."""
        self._reload.finish(self.model_config)
        repack_tied_weights(self.model)

    def update_weights(self, update_info: dict[str, object]) -> None:
        """Without an accelerator to wait for."""
        self.receive_weights(self.parse_update_info(update_info))

    def shutdown(self) -> None:
        """Nothing is held."""


class BucketTransfer(_Noted, _BucketEngine):
    """From the trainer's ranks through Ray's object store."""
