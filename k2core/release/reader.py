"""A reader as a program: what the transformers on its path makes of a checkpoint.

python -m k2core.release.reader FOLDER ASKED.json ANSWER.npz, where ASKED holds `rows` of token ids
and `forms`, each with `messages` and `tools`; ANSWER gets `logits_N` [tokens, vocabulary] of each
row and `ids_N` of each form. It imports nothing of this project: any transformers can run it.
"""

import json
import sys
from pathlib import Path
from typing import cast

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel


def main() -> None:
    """Read, compute, write."""
    folder, asked_path, answer_path = sys.argv[1:]
    torch.set_num_threads(1)
    asked = json.loads(Path(asked_path).read_text())
    model, info = cast(
        "tuple[PreTrainedModel, dict[str, list[str]]]",
        AutoModelForCausalLM.from_pretrained(
            folder, torch_dtype=torch.float32, output_loading_info=True
        ),
    )
    if strange := [*info["missing_keys"], *info["unexpected_keys"]]:
        raise SystemExit(f"misses or does not know {strange[:3]}")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = [model(torch.tensor([row])).logits[0].numpy() for row in asked["rows"]]
    found = {f"logits_{place}": part for place, part in enumerate(logits)}
    for place, form in enumerate(asked["forms"]):
        text = tokenizer.apply_chat_template(
            form["messages"], tools=form["tools"], add_generation_prompt=True, tokenize=False
        )
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        found[f"ids_{place}"] = np.array(ids, dtype=np.int64)
    np.savez(answer_path, **found)


if __name__ == "__main__":
    main()
