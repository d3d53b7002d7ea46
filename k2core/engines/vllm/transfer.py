"""vLLM's weight-transfer engines, as a worker has them: every tensor is noted for the receipt.

They differ in how bytes arrive: over a wire from all ranks of the trainer that own some, which is
the same on GPUs and CPU cores, or by CUDA's own means from the rank on the same GPU.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.ipc_engine import IPCWeightTransferEngine

from k2core.engines.vllm.reload import Reload
from k2core.engines.vllm.worker import forget_packed_experts, repack_tied_weights
from k2core.engines.wire import MeetingPoint, WeightReceiver, WireBucket, WireError
from k2core.model.digest import NamedTensor, Receipt

if TYPE_CHECKING:
    import numpy as np

Kept = tuple[WireBucket, "np.ndarray"]
"""A bucket of the last round, and its bytes."""


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


class IpcTransfer(_Noted, IPCWeightTransferEngine):
    """From the trainer's rank on the worker's own GPU, in packed buckets."""


@dataclass
class WireInit(WeightTransferInitInfo):
    """Where to meet the trainer, and what will come."""

    point: MeetingPoint
    plan: list[WireBucket]
    first_worker: int
    """Of this engine, among the workers of all."""


@dataclass
class WireRound(WeightTransferUpdateInfo):
    """One round."""

    keep: bool = False
    """What comes, in host memory, for an engine that takes another's place."""
    again: list[Kept] = field(default_factory=list)
    """In place of what the trainer sends, what it sent to another engine."""


class _WireEngine(WeightTransferEngine[WireInit, WireRound]):
    init_info_cls, update_info_cls = WireInit, WireRound
    _receiver: WeightReceiver | None = None
    fault = ""
    """Why the last round broke off. To raise it would do harm: of an engine's workers that fail
    together vLLM hears one, and takes another's error for the answer to what it asks next."""

    def init_transfer_engine(self, init_info: WireInit) -> None:
        """Meet the trainer and the other workers, also where others were met before."""
        self.shutdown()
        worker = init_info.first_worker + self.parallel_config.rank
        self._receiver = WeightReceiver(init_info.point, init_info.plan, worker, self.device)
        self.kept: list[Kept] = []

    def receive_weights(self, update_info: WireRound) -> None:
        """Load a round's buckets as they come."""
        self.kept, self.fault = [], ""
        try:
            for bucket, data in self._arriving(update_info):
                self._load(bucket.views(data))
                if update_info.keep:
                    self.kept.append((bucket, data.numpy()))
        except WireError as error:
            self.fault = str(error)

    def shutdown(self) -> None:
        """Leave."""
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None

    def _arriving(self, update_info: WireRound) -> Iterator[tuple[WireBucket, torch.Tensor]]:
        if update_info.again:
            return ((bucket, torch.from_numpy(data)) for bucket, data in update_info.again)
        if self._receiver is None:
            raise WireError("weights are announced by a trainer that was never met")
        return self._receiver.receive()

    def _load(self, named: Iterator[NamedTensor]) -> None:
        raise NotImplementedError


class _GpuEngine(_WireEngine):
    """Layer by layer, as vLLM loads what comes by its own NCCL engine."""

    def start_weight_update(self) -> None:
        """As if the weights were loaded for the first time."""
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        initialize_layerwise_reload(self.model)

    def finish_weight_update(self) -> None:
        """Make the kernels' layout of what is not yet in it."""
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        finalize_layerwise_reload(self.model, self.model_config)

    def _load(self, named: Iterator[NamedTensor]) -> None:
        from vllm.model_executor.model_loader.mtp_validation import disable_mtp_completeness_check

        with disable_mtp_completeness_check():  # of a bucket
            self.model.load_weights(named)


class _CpuEngine(_WireEngine):
    """All of the model at once (docs/decisions/0021)."""

    def start_weight_update(self) -> None:
        """As if the weights were loaded for the first time."""
        forget_packed_experts(self.model)
        self._reload = Reload(self.model)

    def finish_weight_update(self) -> None:
        """Make the kernels' layout of them."""
        self._reload.finish(self.model_config)
        repack_tied_weights(self.model)

    def update_weights(self, update_info: dict[str, object]) -> None:
        """Without an accelerator to wait for."""
        self.receive_weights(self.parse_update_info(update_info))

    def _load(self, named: Iterator[NamedTensor]) -> None:
        self._reload.note(self.model.load_weights(named))


class NcclTransfer(_Noted, _GpuEngine):
    """From the trainer's ranks to GPUs."""


class GlooTransfer(_Noted, _CpuEngine):
    """From the trainer's ranks to CPU cores."""
