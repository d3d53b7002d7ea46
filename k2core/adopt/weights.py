"""A foreign checkpoint's tensors under the names and in the shapes that this pipeline has.

Nothing is held but the tensor that is asked for: experts that are stacked in one tensor are read
one by one, and block-scaled FP8 is multiplied out block row by block row.
"""

import re
from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from k2core.adopt.errors import AdoptError
from k2core.adopt.places import CheckpointSource
from k2core.model.headers import HeaderError, Slot, read_header, read_slot
from k2core.model.shards import INDEX
from k2core.model.tensors import TensorShape, tensor_shapes
from schemas.model import ModelShape
from schemas.outside import NotJsonError, read_json

if TYPE_CHECKING:
    from torch import Tensor

_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_SCALE = "_scale_inv"
_EXPERT = re.compile(r"(.*\.experts)\.(\d+)\.(gate|up|down)_proj\.weight")
_LAYER = re.compile(r"model\.layers\.(\d+)\.")
_FP8 = ("F8_E4M3", "F8_E5M2")


class TensorPart(NamedTuple):
    """Where a wanted tensor is: a stored one, one of a stack, or half the rows of that."""

    stored: str
    place: int | None = None
    half: int | None = None


class SourceWeights:
    """Every tensor of a shape, in a source's files.

    Args:
        source: the files.
        shape: what its config.json says.
        is_tied: whether its output layer is its embedding.
        block: rows and columns that share a scale, where weights are FP8.
        num_extra_layers: layers after the last, for predicting several tokens, which are left out.

    Raises:
        AdoptError: tensors are missing, unknown, of a wrong shape or of a type that holds no
            weights; names them and their file. No weight was read.
    """

    def __init__(
        self,
        source: CheckpointSource,
        shape: ModelShape,
        *,
        is_tied: bool = False,
        block: tuple[int, int] = (128, 128),
        num_extra_layers: int = 0,
    ) -> None:
        self._source, self._is_tied, self._block = source, is_tied, block
        self.slots = dict(_list_slots(source))
        """Stored name -> where it is."""
        self._check_counts(shape)
        self.wanted = tensor_shapes(shape)
        self._parts = {name: self._find(name) for name in self.wanted}
        self.left_out = self._check_rest(shape.num_layers, num_extra_layers)
        """Stored tensors that no part of the model is."""
        for name, size in self.wanted.items():
            self._check_size(name, size)

    @property
    def kinds(self) -> dict[str, int]:
        """How many stored tensors there are of each type."""
        kinds = [slot.kind for slot in self.slots.values()]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}

    def read(self, name: str) -> "Tensor":
        """One wanted tensor in fp32.

        Raises:
            AdoptError: it holds a NaN or an infinity; names it and its file.
        """
        stored, place, half = self._parts[name]
        slot = self.slots[stored]
        found = read_slot(slot, place).float()
        if slot.kind in _FP8:
            scales = read_slot(self.slots[stored + _SCALE], place).float()
            _multiply(found, scales, self._block)
        if half is not None:
            found = found.chunk(2)[half]
        if not _is_finite(found):
            raise AdoptError(f"{slot.path}: {name} holds a NaN or an infinity")
        if name == _HEAD and self._is_tied and stored == _HEAD:
            self._check_tie(found)
        return found

    def _find(self, name: str) -> TensorPart:
        if name in self.slots:
            return TensorPart(name)
        if name == _HEAD and self._is_tied:
            return TensorPart(_EMBEDDING)
        if match := _EXPERT.fullmatch(name):
            experts, number, kind = match.groups()
            stacked = f"{experts}.{'down' if kind == 'down' else 'gate_up'}_proj"
            if stacked in self.slots:
                half = {"gate": 0, "up": 1}.get(kind)
                return TensorPart(stacked, int(number), half)
        return TensorPart("")

    def _check_counts(self, shape: ModelShape) -> None:
        """Before all names are listed: a config may ask for more of them than memory holds."""
        longest = max((slot.shape[0] for slot in self.slots.values() if slot.shape), default=0)
        for key, count, most in (
            ("num_hidden_layers", shape.num_layers, len(self.slots)),
            ("n_routed_experts", shape.num_experts, longest),
        ):
            if count > most:
                raise AdoptError(
                    f"{self._source.address}: its config.json has {key} {count}, and its files "
                    f"hold {len(self.slots)} tensors of at most {longest} rows"
                )

    def _check_rest(self, num_layers: int, num_extra: int) -> list[str]:
        lost = [name for name, part in self._parts.items() if part.stored not in self.slots]
        if lost:
            raise AdoptError(
                f"{self._source.address} lacks {_some(lost)}, which its config.json asks for; its "
                f"files hold {len(self.slots)} tensors"
            )
        used = {part.stored for part in self._parts.values()}
        used |= {stored + _SCALE for stored in used}
        rest = [name for name in self.slots if name not in used]
        left_out = [name for name in rest if _is_spare(name, num_layers, num_extra)]
        if strange := sorted(set(rest) - set(left_out)):
            raise AdoptError(
                f"{self.slots[strange[0]].path} holds {_some(strange)}, which the architecture "
                "does not have: config.json and weights are of different models"
            )
        return sorted(left_out)

    def _check_size(self, name: str, size: TensorShape) -> None:
        stored, place, half = self._parts[name]
        slot = self.slots[stored]
        rows, *rest = size
        expected = (rows * 2 if half is not None else rows, *rest)
        found = slot.shape if place is None else slot.shape[1:]
        if found != expected or (place is not None and place >= slot.shape[0]):
            raise AdoptError(
                f"{slot.path}: {stored} is {list(slot.shape)}, and by config.json "
                f"{'each of its parts is ' if place is not None else ''}{list(expected)}"
            )
        if not slot.is_float:
            raise AdoptError(
                f"{slot.path}: {stored} is of type {slot.kind}: weights are F32, BF16, F16 or "
                "block-scaled F8_E4M3 here"
            )
        if slot.kind in _FP8:
            self._check_scale(stored, slot)

    def _check_scale(self, stored: str, slot: Slot) -> None:
        scale = self.slots.get(stored + _SCALE)
        if scale is None or not scale.is_float:
            raise AdoptError(f"{slot.path}: {stored} is of {slot.kind} and has no {stored}{_SCALE}")
        *stack, rows, columns = slot.shape if len(slot.shape) > 1 else (1, 1)
        wanted = (*stack, ceil(rows / self._block[0]), ceil(columns / self._block[1]))
        if scale.shape != wanted:
            raise AdoptError(
                f"{scale.path}: {stored}{_SCALE} is {list(scale.shape)} for {list(slot.shape)} in "
                f"blocks of {self._block[0]} x {self._block[1]}, not {list(wanted)}"
            )

    def _check_tie(self, head: "Tensor") -> None:
        if not bool((head == self.read(_EMBEDDING)).all()):
            raise AdoptError(
                f"{self.slots[_HEAD].path}: {_HEAD} differs from {_EMBEDDING}, and config.json "
                "says tie_word_embeddings: one of them is not the model's"
            )


def _list_slots(source: CheckpointSource) -> Iterator[tuple[str, Slot]]:
    """Every tensor of the files that the index names, or of the only file."""
    places = _read_index(source)
    for file in sorted(set(places.values())) if places else [_only_file(source)]:
        try:
            header = read_header(source.fetch(file))
        except HeaderError as error:
            raise AdoptError(str(error)) from None
        listed = {name for name, at in places.items() if at == file}
        if lost := sorted(listed - header.keys()):
            raise AdoptError(
                f"{source.address}/{file} lacks {_some(lost)}, which {INDEX} puts there"
            )
        yield from ((name, slot) for name, slot in header.items() if not places or name in listed)


def _only_file(source: CheckpointSource) -> str:
    files = [name for name in source.names if name.endswith(".safetensors")]
    if len(files) != 1:
        why = f"{len(files)} and no {INDEX}, which says what is where" if files else "none"
        raise AdoptError(f"{source.address}: weights are to be in *.safetensors; there are {why}")
    return files[0]


def _read_index(source: CheckpointSource) -> dict[str, str]:
    """Tensor -> file; empty without an index."""
    if INDEX not in source.names:
        return {}
    where = f"{source.address}/{INDEX}"
    try:
        index = read_json(source.fetch(INDEX).read_bytes())
    except NotJsonError as error:
        raise AdoptError(f"{where} is no JSON: {error}") from None
    found = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(found, dict) or not found:
        raise AdoptError(f"{where} has no weight_map of tensors and files")
    places = {}
    for name, file in found.items():
        if not isinstance(file, str) or not re.fullmatch(r"[\w.-]+\.safetensors", file):
            raise AdoptError(
                f"{where} puts {name} into {file!r}: only *.safetensors beside it are read"
            )
        if file not in source.names:
            raise AdoptError(f"{where} puts {name} into {file}, which is not there")
        places[name] = file
    return places


def _is_spare(name: str, num_layers: int, num_extra: int) -> bool:
    """Rotary frequencies, which are computed, and layers that predict further tokens."""
    match = _LAYER.match(name)
    beyond = match is not None and num_layers <= int(match[1]) < num_layers + num_extra
    return beyond or name.endswith(".rotary_emb.inv_freq") or name.startswith("model.mtp.")


def _multiply(weight: "Tensor", scale: "Tensor", block: tuple[int, int]) -> None:
    """Each block of [r, c] by its scale [r / block, c / block], in place."""
    height, width = block
    for row, scales in enumerate(scale):
        part = weight[row * height : (row + 1) * height]
        part *= scales.repeat_interleave(width)[: weight.size(1)]


def _is_finite(tensor: "Tensor") -> bool:
    """Without a mask as large as the tensor: its extremes are finite if it is."""
    if not tensor.numel():
        return True
    low, high = tensor.aminmax()
    return bool((high - low).isfinite()) or bool(low.isfinite() and high.isfinite())


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
