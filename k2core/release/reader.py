"""A reader as a program: what the transformers on its path makes of checkpoints.

python -m k2core.release.reader PLACE..., each a folder with ASKED.json, which holds `folder` (the
checkpoint), `rows` of token ids and `forms`, each with `messages` and `tools`. Each gets ANSWER.npz
with `logits_N` [tokens, vocabulary] of each row and `ids_N` of each form, or FAULT.txt. It imports
nothing of this project: any transformers can run it.
"""

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

MOST_BYTES = int(os.environ.get("READER_BYTES", 100 * 2**20))
"""Of weights that are held whole; of a larger model a layer's are there while it computes."""


class AskedForm(TypedDict):
    """A dialogue and its tools."""

    messages: list[dict[str, str]]
    tools: list[dict[object, object] | Callable[..., object]] | None


class ReadRequest(TypedDict):
    """What is read of a checkpoint."""

    folder: str
    rows: list[list[int]]
    forms: list[AskedForm]


def main() -> None:
    """Read, compute, write, a checkpoint after another."""
    torch.set_num_threads(1)
    for place in map(Path, sys.argv[1:]):
        try:
            found = read(json.loads((place / "ASKED.json").read_text()))
        except Exception:  # whatever it is, who asked reads it
            (place / "FAULT.txt").write_text(traceback.format_exc())
        else:
            np.savez(str(place / "ANSWER.npz"), allow_pickle=False, **found)


def read(asked: ReadRequest) -> dict[str, np.ndarray]:
    """One checkpoint's logits and tokens."""
    with tempfile.TemporaryDirectory(prefix="reader-") as aside:
        logits = _compute(Path(asked["folder"]), asked["rows"], aside)
    tokenizer = AutoTokenizer.from_pretrained(asked["folder"])
    found = {f"logits_{place}": part for place, part in enumerate(logits)}
    for place, form in enumerate(asked["forms"]):
        text = tokenizer.apply_chat_template(
            form["messages"], tools=form["tools"], add_generation_prompt=True, tokenize=False
        )
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        found[f"ids_{place}"] = np.array(ids, dtype=np.int64)
    return found


def _compute(folder: Path, rows: list[list[int]], aside: str) -> list[np.ndarray]:
    """Logits [tokens, vocabulary] of each row, fp32."""
    model, info = cast(
        "tuple[PreTrainedModel, dict[str, list[str]]]",
        AutoModelForCausalLM.from_pretrained(
            folder,
            torch_dtype=torch.float32,
            output_loading_info=True,
            device_map=_places(folder),
            offload_folder=aside,
            offload_buffers=True,
        ),
    )
    if strange := [*info["missing_keys"], *info["unexpected_keys"]]:
        raise ValueError(f"misses or does not know {strange[:3]}")
    with torch.no_grad():
        return [model(torch.tensor([row])).logits[0].numpy() for row in rows]


def _places(folder: Path) -> dict[str, str]:
    """Module -> where its weights wait: a large model's on the disk, in the checkpoint's files."""
    if sum(path.stat().st_size for path in folder.glob("*.safetensors")) <= MOST_BYTES:
        return {"": "cpu"}
    count = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    layers = [f"model.layers.{number}" for number in range(count)]
    places = dict.fromkeys(["model.embed_tokens", *layers, "model.norm", "lm_head"], "disk")
    return places | {"model.rotary_emb": "cpu"}


if __name__ == "__main__":
    main()
