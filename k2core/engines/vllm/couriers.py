"""How weights leave a trainer whose GPUs engines share: by vLLM's own trainer engine of CUDA IPC.

Never run: no GPU was at hand. What can be checked without, a test checks: that what is announced is
what is sent.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, cast

from k2core.engines.learner import Weights
from k2core.model.digest import NamedTensor, as_served
from k2core.model.tensors import TensorShape

if TYPE_CHECKING:
    import torch
    from vllm.distributed.weight_transfer import VLLMWeightSyncClient, WeightSource

BUCKET_BYTES = 512 * 2**20


class _Rounds(Protocol):
    """A source that is read once a round."""

    named: Iterator[NamedTensor]


def stream_source(
    shapes: Mapping[str, TensorShape], dtypes: "Mapping[str, torch.dtype]"
) -> "WeightSource":
    """What vLLM reads weights from: `named` is set anew before each round."""
    from vllm.distributed.weight_transfer import ParamMeta, WeightSource

    class Stream(WeightSource):
        """Tensors in the order in which the trainer gives them."""

        named: Iterator[NamedTensor] = iter(())

        def metadata(self) -> list[ParamMeta]:
            """Known without a gather."""
            return [ParamMeta(name, dtypes[name], tuple(size)) for name, size in shapes.items()]

        def __iter__(self) -> Iterator[NamedTensor]:
            return self.named

    return Stream()


class IpcCourier:
    """Each rank of the trainer lends its bucket to the worker on its own GPU.

    Args:
        client: the engines; None on all ranks but the first.
        source: what is sent.
        rank: of the trainer.
    """

    def __init__(
        self, client: "VLLMWeightSyncClient | None", source: "WeightSource", rank: int
    ) -> None:
        from vllm.distributed.weight_transfer import WeightTransferTrainerFactory
        from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo

        info = IPCTrainerInitInfo(packed=True, packed_buffer_size_bytes=BUCKET_BYTES, rank=rank)
        self._source = cast("_Rounds", source)
        self._engine = WeightTransferTrainerFactory.trainer_init(
            info,
            client=client,
            source=source,
        )

    def send(self, named: Iterator[NamedTensor]) -> None:
        """One round; all ranks take part."""
        self._source.named = named
        self._engine.send_weights()

    def close(self) -> None:
        """Nothing is held."""
        self._engine.shutdown()


def lend_weights(dtype: str, weights: Weights) -> None:
    """What the trainer's other ranks do in a round of `IpcCourier`, in the engines' arithmetic."""
    import torch

    courier = IpcCourier(None, stream_source({}, {}), weights.ranks.rank)
    courier.send(as_served(weights.everywhere(), getattr(torch, dtype)))
