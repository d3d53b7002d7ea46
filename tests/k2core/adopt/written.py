"""Checkpoints as transformers writes them, with its own logits: a program, for any version of it.

python written.py OUT VARIANTS.json, where VARIANTS maps a name to `config` (of DeepseekV3Config),
`dtype`, `max_shard_size` and `text` (token ids); OUT/NAME gets the checkpoint, OUT/NAME.npy logits.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

TEXT = [(7 * n) % 290 for n in range(90)]


def write(out: Path, name: str, variant: dict[str, Any]) -> None:
    """One of them."""
    torch.manual_seed(0)
    config = DeepseekV3Config(**variant["config"])
    model: Any = DeepseekV3ForCausalLM(config)
    with torch.no_grad():
        for parameter in [*model.parameters()]:
            parameter.add_(torch.randn(parameter.shape) * 0.1)
        for key, buffer in model.named_buffers():
            if key.endswith("e_score_correction_bias"):
                buffer.copy_(torch.rand(buffer.shape) * 0.2)
    model = model.to(getattr(torch, variant.get("dtype", "float32")))
    model.save_pretrained(out / name, max_shard_size=variant.get("max_shard_size", "5GB"))
    # Read anew: a model in bf16 has rounded its rotary frequencies, too.
    load: Any = DeepseekV3ForCausalLM.from_pretrained
    model = load(out / name, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(torch.tensor([variant.get("text", TEXT)])).logits[0]
    np.save(out / f"{name}.npy", logits.numpy())


def main() -> None:
    """All of them."""
    out = Path(sys.argv[1])
    for name, variant in json.loads(Path(sys.argv[2]).read_text()).items():
        write(out, name, variant)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
