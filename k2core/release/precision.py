"""A released model rounded to bf16, tensor by tensor, as a repository beside it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from k2core.model.config import load_shape
from k2core.model.headers import Slot, read_header, read_slot
from k2core.model.hf import write_json
from k2core.model.shards import INDEX, SHARD_BYTES, CheckpointWriter, list_weight_files
from k2core.model.tensors import tensor_shapes
from k2core.release.parity import (
    Proof,
    argmax_equal,
    compute_theirs,
    largest_difference,
    open_model,
    round_up,
)
from schemas.base import Config


class Rounding(Config):
    """What rounding changed."""

    max_logit_difference: float
    """Largest |logits of the rounded weights - the trainer's|, computed in fp32."""
    argmax_equal_frac: float
    """Share of positions with the same most likely token."""


def round_weights(folder: Path, out: Path, max_bytes: int = SHARD_BYTES) -> None:
    """Write the checkpoint in bf16; memory is that of its largest tensor.

    Args:
        folder: in fp32.
        out: where to.
        max_bytes: of a file.
    """
    out.mkdir(parents=True)
    for path in sorted(folder.iterdir()):
        if not path.name.endswith((".safetensors", INDEX)):
            shutil.copyfile(path, out / path.name)
    config = json.loads((folder / "config.json").read_text())
    write_json(out / "config.json", config | {"dtype": "bfloat16", "torch_dtype": "bfloat16"})
    slots = dict(_list_slots(folder))
    writer = CheckpointWriter(
        out, tensor_shapes(load_shape(folder)), max_bytes=max_bytes, precision="bf16"
    )
    writer.create()
    for name in writer.places:
        writer.write(name, read_slot(slots[name]))
    writer.finish()
    writer.write_index()


def measure_rounding(folder: Path, proof: Proof) -> Rounding:
    """Hold a rounded checkpoint's logits against the trainer's of the whole weights."""
    with open_model(folder) as model:
        theirs = compute_theirs(model, proof.windows)
    return Rounding(
        max_logit_difference=round_up(largest_difference(theirs, proof.logits)),
        argmax_equal_frac=argmax_equal(theirs, proof.logits),
    )


def _list_slots(folder: Path) -> Iterator[tuple[str, Slot]]:
    for name in list_weight_files(folder):
        yield from read_header(folder / name).items()
