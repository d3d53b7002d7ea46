"""Activations that wait for their backward pass in host memory, layer by layer.

K2 keeps on the device only what layers at work need; copy engines move the rest while others
compute (arXiv:2507.20534, section 2.4.3). Megatron's own ways do not serve here: `cpu_offloading`
refuses pipelines and recomputation, `fine_grained_activation_offloading` needs Transformer
Engine's modules.

A layer's saved tensors leave when it ends. By then selective recomputation has emptied what it
brings back by itself, which is left alone. The first of them that the backward pass asks for brings
back all, and starts the copies of the layer before. So two layers are on the device at a time: one
at work, one on its way. Storages move, not tensors: views share one copy and keep their strides.
On CPU the same code moves bytes within one memory. `CopyEngines` was never run: no GPU was at hand.
"""

import weakref
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from megatron.core.models.gpt import GPTModel

SMALLEST = 2**18
"""Bytes of a storage that is worth a copy of its own."""


P = ParamSpec("P")
T = TypeVar("T")


class Moved(NamedTuple):
    """Bytes on their way, or there."""

    there: Tensor
    """uint8, one copy of a storage."""
    arrived: Any
    """What `Copies.wait` waits for."""


class Copies(Protocol):
    """How bytes go to the host and back."""

    def send(self, held: Tensor) -> Moved:
        """Start a copy [bytes] to the host."""

    def bring(self, host: Tensor) -> Moved:
        """Start a copy [bytes] back."""

    def wait(self, moved: Moved) -> None:
        """Work queued from now on sees the copy."""


class SameMemory:
    """Without a device: copies within the host's memory, at once."""

    def send(self, held: Tensor) -> Moved:
        """See `Copies`."""
        return Moved(held.clone(), None)

    def bring(self, host: Tensor) -> Moved:
        """See `Copies`."""
        return Moved(host.clone(), None)

    def wait(self, moved: Moved) -> None:
        """Nothing to wait for."""


class CopyEngines:
    """Pinned host memory and one CUDA stream each way. Never run: no GPU was at hand.

    Memory of the device is taken and given back on the compute stream alone, which has waited for
    the copy by then: no `record_stream`, whose blocks come back late. PyTorch's pinned allocator
    rounds sizes up to powers of two and keeps what it has.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._outward, self._homeward = torch.cuda.Stream(device), torch.cuda.Stream(device)

    def send(self, held: Tensor) -> Moved:
        """See `Copies`; `held` must be kept until the compute stream has waited."""
        host = torch.empty(held.shape, dtype=held.dtype, pin_memory=True)
        return self._copy(held, host, self._outward)

    def bring(self, host: Tensor) -> Moved:
        """See `Copies`."""
        target = torch.empty(host.shape, dtype=host.dtype, device=self.device)
        return self._copy(host, target, self._homeward)

    def wait(self, moved: Moved) -> None:
        """See `Copies`."""
        torch.cuda.current_stream(self.device).wait_event(moved.arrived)

    def _copy(self, source: Tensor, target: Tensor, stream: "torch.cuda.Stream") -> Moved:
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            target.copy_(source, non_blocking=True)
            return Moved(target, stream.record_event())


class _Held:
    """One storage that a layer saved: on the device, on its way, or in host memory."""

    def __init__(self, storage: torch.UntypedStorage, layer: "_Layer") -> None:
        self.storage: torch.UntypedStorage | None = storage
        self.layer = layer
        self.device = storage.device
        self.away: Moved | None = None
        self.back: Moved | None = None

    def leave(self, copies: Copies) -> None:
        """Start the copy to the host, unless recomputation has emptied the storage."""
        if self.storage is not None and self.storage.nbytes():
            self.away = copies.send(_as_bytes(self.storage))

    def let_go(self, copies: Copies) -> None:
        """Give the device's memory back, once the copy is there."""
        if self.away is not None:
            copies.wait(self.away)
            self.storage = None

    def come_back(self, copies: Copies) -> None:
        """Start the copy to the device, unless it is there or on its way."""
        if self.storage is None and self.back is None and self.away is not None:
            self.back = copies.bring(self.away.there)

    def arrive(self, copies: Copies) -> None:
        """Be on the device for work queued from now on."""
        if self.back is not None:
            copies.wait(self.back)
            self.storage, self.back = self.back.there.untyped_storage(), None


class _View(NamedTuple):
    """What autograd keeps of a saved tensor."""

    held: _Held
    dtype: torch.dtype
    offset: int
    size: torch.Size
    stride: tuple[int, ...]


class _Layer:
    """What one layer saved in one forward pass; autograd alone keeps it alive."""

    def __init__(self, before: "_Layer | None") -> None:
        self.before = before
        self._held: dict[int, weakref.ref[_Held]] = {}
        self._all: list[weakref.ref[_Held]] = []

    def hold(self, storage: torch.UntypedStorage) -> _Held:
        """The same for every tensor of a storage."""
        address = storage.data_ptr()
        known = self._held.get(address)
        held = known() if known else None
        if held is None or held.storage is None or held.storage.data_ptr() != address:
            # none yet, or recomputation has emptied it and another took its place
            held = _Held(storage, self)
            self._held[address] = weakref.ref(held)
            self._all.append(weakref.ref(held))
        return held

    def all(self) -> list[_Held]:
        """What autograd still wants."""
        return [held for ref in self._all if (held := ref()) is not None]


Kept = Tensor | _View
"""What autograd keeps of a tensor that it saves."""


class Offloader:
    """Moves what a stack of layers saves for its backward pass; one a model.

    Args:
        parameters: whose storages stay; weights are no activations.
        copies: how bytes move.
    """

    def __init__(self, parameters: list[Tensor], copies: Copies) -> None:
        self._parameters = parameters
        self._copies = copies
        self._stay: set[int] = set()
        self._open: _Layer | None = None
        self._leaving: _Layer | None = None
        self._arriving: list[_Held] = []
        """Copies ahead of need; held until the compute stream has waited for them."""

    def watch(self, forward: Callable[P, T]) -> Callable[P, T]:
        """The stack's forward, with what it saves moved; `end_layer` marks where layers end."""

        @wraps(forward)
        def watched(*args: P.args, **kwargs: P.kwargs) -> T:
            if not torch.is_grad_enabled():
                return forward(*args, **kwargs)
            self._stay = {p.untyped_storage().data_ptr() for p in self._parameters}
            self._open = _Layer(None)
            try:
                with torch.autograd.graph.saved_tensors_hooks(self.pack, self.unpack):
                    return forward(*args, **kwargs)
            finally:
                self._open = None  # what was saved after the last layer stays on the device

        return watched

    def end_layer(self) -> None:
        """The layer's tensors leave; the device lets go of those of the layer before."""
        if self._open is None:  # a layer that is computed anew in the backward pass
            return
        ended, self._open = self._open, _Layer(self._open)
        for held in ended.all():
            held.leave(self._copies)
        if self._leaving is not None:
            for held in self._leaving.all():
                held.let_go(self._copies)
        self._leaving = ended

    def pack(self, tensor: Tensor) -> Kept:
        """What autograd is to keep instead of a tensor that it saves."""
        storage = tensor.untyped_storage()
        if (
            self._open is None
            or storage.nbytes() < SMALLEST
            or storage.data_ptr() in self._stay
            or tensor.layout != torch.strided
        ):
            return tensor
        held = self._open.hold(storage)
        offset = int(tensor.storage_offset())
        return _View(held, tensor.dtype, offset, tensor.size(), tensor.stride())

    def unpack(self, kept: Kept) -> Tensor:
        """The tensor again, its strides too, on the device."""
        if isinstance(kept, Tensor):
            return kept
        held = kept.held
        if held.storage is None:
            self._bring(held.layer)
        assert held.storage is not None  # it was let go only after its copy began
        return torch.empty(0, dtype=kept.dtype, device=held.device).set_(
            held.storage, kept.offset, kept.size, kept.stride
        )

    def _bring(self, layer: _Layer) -> None:
        """Have a layer on the device, and the one whose turn is next on its way."""
        wanted = layer.all()
        for held in wanted:
            held.come_back(self._copies)
        for held in (*wanted, *self._arriving):
            held.arrive(self._copies)
        self._arriving = layer.before.all() if layer.before else []
        for held in self._arriving:
            held.come_back(self._copies)


def _as_bytes(storage: torch.UntypedStorage) -> Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def offload_layers(model: "GPTModel") -> Offloader:
    """Let a Megatron GPTModel's decoder keep its activations in host memory."""
    parameters = list(model.parameters())
    device = parameters[0].device
    copies: Copies = CopyEngines(device) if device.type == "cuda" else SameMemory()
    offloader = Offloader(parameters, copies)
    model.decoder.forward = offloader.watch(model.decoder.forward)
    for layer in model.decoder.layers:
        layer.register_forward_hook(lambda *_: offloader.end_layer())
    for module in model.modules():
        if hasattr(module, "config"):  # Megatron copies it for some modules
            module.config.offloader = offloader
    return offloader
