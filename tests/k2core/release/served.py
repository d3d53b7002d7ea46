"""Stands in for vLLM, which has tests of its own: transformers' own greedy search."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from k2core.engines.protocol import Completion, Decoding, Model, find_folder


class Served:
    """Serves a folder in the Hugging Face layout, then what it is updated to."""

    def __init__(self, folder: Path) -> None:
        from transformers import DeepseekV3ForCausalLM

        self._model: Any = DeepseekV3ForCausalLM.from_pretrained(folder).eval()

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Decoding]
    ) -> list[Completion]:
        import torch

        completions = []
        for prompt, how in zip(prompts, sampling, strict=True):
            assert how.temperature == 0
            ids = torch.tensor([list(prompt)])
            found = self._model.generate(ids, max_new_tokens=how.max_tokens, do_sample=False)
            new = found[0, len(prompt) :].tolist()
            completions.append(Completion(new, [0.0] * len(new), "length"))
        return completions

    def load(self, model: Model) -> str:
        folder = find_folder(model)
        self._model = type(self._model).from_pretrained(folder).eval()
        return str(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None
