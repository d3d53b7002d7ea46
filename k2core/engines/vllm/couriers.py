"""How weights leave a trainer on GPUs: by vLLM's own trainer engines, from memory to memory.

Never run: no GPU was at hand. What can be checked without, the tests check: that what is announced
is what is sent, and each field that vLLM is told.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, cast

from k2core.engines.learner import Weights
from k2core.model.digest import NamedTensor, as_served
from k2core.model.tensors import TensorShape

if TYPE_CHECKING:
    import torch
    from vllm.distributed.weight_transfer import VLLMWeightSyncClient, WeightSource
    from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

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


class NcclCourier:
    """The trainer's first rank sends to all workers of all engines, which join it in a group.

    Args:
        client: the engines.
        workers: of all engines together.
        source: what is sent.
    """

    def __init__(
        self, client: "VLLMWeightSyncClient", workers: int, source: "WeightSource"
    ) -> None:
        from vllm.distributed.weight_transfer import WeightTransferTrainerFactory
        from vllm.utils.network_utils import get_ip, get_open_port

        info = nccl_info(get_ip(), get_open_port(), workers)
        self._source = cast("_Rounds", source)
        self._engine = WeightTransferTrainerFactory.trainer_init(info, client=client, source=source)

    def send(self, named: Iterator[NamedTensor]) -> None:
        """One round."""
        self._source.named = named
        self._engine.send_weights()

    def close(self) -> None:
        """Leave the group."""
        self._engine.shutdown()


def nccl_info(address: str, port: int, workers: int) -> "NCCLTrainerInitInfo":
    """What both sides must agree on; the trainer is the group's rank 0."""
    from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

    return NCCLTrainerInitInfo(
        master_address=address,
        master_port=port,
        world_size=1 + workers,
        packed=True,
        packed_buffer_size_bytes=BUCKET_BYTES,
        rank=0,
    )


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
