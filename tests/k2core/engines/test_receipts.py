"""Receipts that notice a wrong weight."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from k2core.model.digest import (
    NamedTensor,
    Receipt,
    as_served,
    checkpoint_digest,
    fingerprint,
    tensors_digest,
)
from k2core.model.tensors import check_shapes


def experts(count: int = 8) -> Iterator[NamedTensor]:
    """Views of one stack, as a trainer gathers them, and a bias."""
    stack = torch.randn(count, 6, 5, generator=torch.Generator().manual_seed(0))
    for index, matrix in enumerate(stack):
        yield f"experts.{index}.up_proj.weight", matrix
    yield "gate.e_score_correction_bias", torch.linspace(0, 1, 7)


def test_a_receipt_of_shares_is_the_whole_ones() -> None:
    weights = dict(experts())
    shares = [Receipt(), Receipt(), Receipt()]
    for place, pair in enumerate(weights.items()):
        list(shares[place % 2].note([pair]))
    assert Receipt.join(shares).digest == tensors_digest(weights)
    assert shares[0].lacking(weights) == list(weights)[1::2]
    with pytest.raises(ValueError, match="was given twice"):
        Receipt.join([*shares, shares[1]])


def test_the_balancing_bias_keeps_its_precision() -> None:
    dtypes = {name: tensor.dtype for name, tensor in as_served(experts(1), torch.bfloat16)}
    assert dtypes == {
        "experts.0.up_proj.weight": torch.bfloat16,
        "gate.e_score_correction_bias": torch.float32,
    }


def _swapped(tensor: Tensor) -> Tensor:
    return torch.cat([tensor[1:2], tensor[:1], tensor[2:]])


def _bit_flipped(tensor: Tensor) -> Tensor:
    changed = tensor.clone()
    changed.view(torch.int32)[3, 3] ^= 1
    return changed


@pytest.mark.parametrize("spoil", [_swapped, _bit_flipped, torch.neg, torch.zeros_like])
def test_a_fingerprint_sees_places_and_bits(spoil: Callable[[Tensor], Tensor]) -> None:
    tensor = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    assert fingerprint(spoil(tensor)) != fingerprint(tensor)
    assert fingerprint(tensor.t().contiguous().t()) == fingerprint(tensor.clone())
    assert fingerprint(tensor[1:]) == fingerprint(tensor[1:].clone())


def test_a_fingerprint_is_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """SplitMix64 of each word beside its place, added up; and pieces do not matter."""
    words, mask, total = [7, 2**63 + 5, 2**64 - 1], 2**64 - 1, 0
    for place, word in enumerate(words, start=1):
        mixed = (place * 0x9E3779B97F4A7C15 + word) & mask
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
            sign = mask << (64 - shift) & mask if mixed >> 63 else 0  # as signed integers shift
            mixed = (mixed ^ (mixed >> shift | sign)) * factor & mask
        total = (total + mixed) & mask
    tensor = torch.tensor([w - 2**64 if w >> 63 else w for w in words])
    assert fingerprint(tensor) == total
    monkeypatch.setattr("k2core.model.digest._PIECE_ON_CPU", 1)
    assert fingerprint(tensor) == total


def test_what_is_announced_must_be_the_model() -> None:
    wanted: dict[str, tuple[int, ...]] = {"a": (3, 2), "b": (7,)}
    check_shapes(wanted, wanted, "the trainer", "the served model")
    cases: dict[str, dict[str, tuple[int, ...]]] = {
        r"the trainer lacks tensor b \(1 names": {"a": (3, 2)},
        "the trainer has the unknown tensor c": wanted | {"c": (1,)},
        r"b is \[3\] in the trainer, and \[7\] in the served model": wanted | {"b": (3,)},
    }
    for said, found in cases.items():
        with pytest.raises(ValueError, match=said):
            check_shapes(found, wanted, "the trainer", "the served model")


def test_a_folder_has_the_receipt_of_its_tensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    weights = {name: tensor.contiguous() for name, tensor in experts()}
    save_file({n: t.clone() for n, t in weights.items()}, tmp_path / "model.safetensors")
    assert checkpoint_digest(tmp_path) == tensors_digest(weights)
    served = dict(as_served(weights.items(), torch.bfloat16))
    assert checkpoint_digest(tmp_path, torch.bfloat16) == tensors_digest(served)


@pytest.mark.slow
def test_what_is_announced_to_vllm_is_what_is_lent() -> None:
    """By vLLM's own check of a source, which needs no GPU."""
    from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerWeightTransferEngine

    from k2core.engines.vllm.couriers import stream_source

    weights = dict(as_served(experts(), torch.bfloat16))
    source = stream_source(
        {name: tuple(tensor.shape) for name, tensor in weights.items()},
        {name: tensor.dtype for name, tensor in weights.items()},
    )
    for _ in range(2):
        source.named = iter(weights.items())
        checked = NCCLTrainerWeightTransferEngine._checked_iter(source, source.metadata())
        assert tensors_digest(dict(checked)) == tensors_digest(weights)
