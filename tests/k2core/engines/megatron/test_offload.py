"""What leaves for host memory comes back to the bit, and the device holds two layers of it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from k2core.engines.megatron import offload
from k2core.engines.megatron.batch import Batch
from k2core.engines.megatron.offload import Moved, Offloader
from k2core.engines.megatron.trainer import Trainer
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement

BatchMaker = Callable[..., Batch]


class TwoMemories:
    """Copies between two places, that arrive when waited for: what streams may do at the latest."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.bytes_sent = 0

    def send(self, held: Tensor) -> Moved:
        self.log.append("send")
        self.bytes_sent += held.numel()
        return Moved(torch.full_like(held, 255), held)

    def bring(self, host: Tensor) -> Moved:
        self.log.append("bring")
        return Moved(torch.full_like(host, 255), host)

    def wait(self, moved: Moved) -> None:
        self.log.append("wait")
        moved.there.copy_(moved.arrived)


@pytest.fixture(autouse=True)
def nothing_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "SMALLEST", 1)


def run_layers(copies: TwoMemories, num_layers: int, batches: int = 1) -> list[Tensor]:
    """Gradients of `num_layers` layers; all forward passes, then all backward passes."""
    generator = torch.Generator().manual_seed(0)
    weights = [
        torch.randn(8, 8, generator=generator, requires_grad=True) for _ in range(num_layers)
    ]
    offloader = Offloader(list(weights), copies)

    @offloader.watch
    def forward(x: Tensor) -> Tensor:
        for weight in weights:
            x = torch.tanh(x.mT.mT @ weight)
            offloader.end_layer()
        return x

    inputs = [torch.randn(4, 8, generator=generator, requires_grad=True) for _ in range(batches)]
    outputs = [forward(x) for x in inputs]
    for output in outputs:
        output.square().sum().backward()
    return [t.grad for t in (*weights, *inputs) if t.grad is not None]


def test_gradients_are_to_the_bit_those_of_tensors_that_stayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies = TwoMemories()
    moved = run_layers(copies, 4, batches=3)
    assert copies.log.count("bring") > 0
    monkeypatch.setattr(offload, "SMALLEST", 2**30)
    stayed = run_layers(TwoMemories(), 4, batches=3)
    assert len(moved) == len(stayed) == 4 + 3
    assert all(map(torch.equal, moved, stayed))


def test_a_layer_leaves_when_it_ends_and_comes_back_one_ahead() -> None:
    copies = TwoMemories()
    run_layers(copies, 4)
    log = "".join(word[0] for word in copies.log)
    # each layer saves its input and its output; the next one's input is that output again
    sent, returned = log[: log.index("b")], log[log.index("b") :]
    assert sent == "ss" + 3 * "ssww"  # the device lets a layer go when the next has ended
    # the last layer is still there; the third comes with the second ahead, then waits find it
    assert returned.startswith("bb" + "ww" + "bb")
    assert returned.count("b") == returned.count("w") == 2 * 3


def test_bytes_really_move_and_views_share_one_copy() -> None:
    copies = TwoMemories()
    offloader = Offloader([], copies)
    whole = torch.arange(24.0).reshape(4, 6)
    parts = [whole[:, :2], whole[:, 2:].mT, whole.view(torch.int32)[1]]
    expected = [part.clone() for part in parts]
    kept: list[object] = []

    @offloader.watch
    def forward() -> None:
        kept.extend(offloader.pack(part) for part in parts)
        offloader.end_layer()
        offloader.pack(torch.zeros(3))
        offloader.end_layer()

    forward()
    assert copies.log.count("send") == 1  # nobody kept the zeros
    whole.fill_(-1)  # the device's memory goes to others
    found = [offloader.unpack(view) for view in kept]  # type: ignore[arg-type]
    for one, other, part in zip(found, expected, parts, strict=True):
        assert torch.equal(one, other)
        assert one.stride() == part.stride()
        assert one.untyped_storage().data_ptr() == found[0].untyped_storage().data_ptr()
        assert one.untyped_storage().data_ptr() != whole.untyped_storage().data_ptr()


def test_a_tensor_at_an_emptied_ones_address_is_its_own() -> None:
    offloader = Offloader([], TwoMemories())
    kept: list[object] = []

    @offloader.watch
    def forward() -> None:
        emptied, later = torch.ones(4096), torch.full((4096,), 2.0)
        kept.append(offloader.pack(emptied))
        emptied.untyped_storage().resize_(0)
        layer = offloader._open
        assert layer is not None
        address = later.untyped_storage().data_ptr()
        layer._held[address] = layer._all[0]  # as if the allocator had dealt it again
        kept.append(offloader.pack(later))
        offloader.end_layer()
        offloader.end_layer()

    forward()
    assert offloader.unpack(kept[1]).eq(2).all()  # type: ignore[arg-type]


def test_weights_and_what_recomputation_emptied_stay() -> None:
    copies = TwoMemories()
    weight, again = torch.ones(4, 4), torch.ones(4)
    offloader = Offloader([weight], copies)
    kept: list[object] = []

    @offloader.watch
    def forward() -> None:
        kept.extend(map(offloader.pack, (weight.mT, again)))
        again.untyped_storage().resize_(0)
        offloader.end_layer()
        offloader.end_layer()

    forward()
    assert isinstance(kept[0], Tensor)
    again.untyped_storage().resize_(16)
    again.fill_(3.0)
    assert torch.equal(offloader.unpack(kept[1]), again)  # type: ignore[arg-type]
    assert copies.log == []


@pytest.mark.parametrize(
    ("recompute", "fp8"),
    [("none", False), ("selective", False), ("selective", True), ("full", False)],
)
def test_a_step_with_offload_is_to_the_bit_one_without(
    shape: ModelShape,
    make_batch: BatchMaker,
    monkeypatch: pytest.MonkeyPatch,
    recompute: str,
    fp8: bool,
) -> None:
    copies = TwoMemories()
    monkeypatch.setattr(offload, "SameMemory", lambda: copies)
    trainers = []
    for offloaded in (False, True):
        sizes = {"num_ranks": 1, "micro_batch": 2, "recompute": recompute, "offload": offloaded}
        config = OptimConfig(qk_clip_tau=0.05, fp8_storage=fp8)
        placement = Placement.model_validate(sizes)
        trainers.append(Trainer(shape, config, seed=0, placement=placement))
    for seed in range(3):
        kept, moved = (trainer.step(make_batch(seed), 2e-3) for trainer in trainers)
        assert moved == kept
    assert {"send", "bring", "wait"} == set(copies.log)
    weights, again = (trainer.export_weights() for trainer in trainers)
    for name, weight in weights.items():
        assert torch.equal(again[name], weight), name
    assert torch.equal(*(trainer.logprobs(make_batch(9)) for trainer in trainers))


def test_packed_activations_leave_too(
    shape: ModelShape, make_batch: BatchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[bool, int] = {}
    for fp8 in (False, True):
        copies = TwoMemories()
        monkeypatch.setattr(offload, "SameMemory", lambda copies=copies: copies)
        placement = Placement(num_ranks=1, recompute="selective", offload=True)
        trainer = Trainer(shape, OptimConfig(fp8_storage=fp8), seed=0, placement=placement)
        trainer.accumulate(make_batch(0, rows=8, width=96))
        sent[fp8] = copies.bytes_sent
    assert sent[True] < 0.8 * sent[False]
