"""The chat format as files of the Hugging Face layout, for readers old and new."""

import json
from pathlib import Path

from k2core.chat.jinja import guard_also
from k2core.chat.tokens import BOS, END, PAD, SPECIAL_TOKENS

CONFIG = "tokenizer_config.json"


def write_chat_files(folder: Path) -> None:
    """Write `tokenizer_config.json` and `chat_template.jinja` beside a `tokenizer.json`.

    transformers 5 itself saves a class and a list that no transformers 4 can read; this names
    what both know. The template stands in both places, since many servers look in one of them.
    """
    template = template_of(folder)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": END,  # where generation stops: the end of a turn, as in K2
        "pad_token": PAD,
        "additional_special_tokens": [t for t in SPECIAL_TOKENS if t not in (BOS, END, PAD)],
        "clean_up_tokenization_spaces": False,
        "chat_template": template,
    }
    _write(folder, config)
    (folder / "chat_template.jinja").write_text(template)


def template_of(folder: Path) -> str:
    """K2's template for a folder's tokenizer: none of its special tokens can be sent as text."""
    path = folder / "tokenizer.json"
    added = json.loads(path.read_text())["added_tokens"] if path.exists() else []
    special = [entry["content"] for entry in added if entry["special"]]
    return guard_also(token for token in special if token not in SPECIAL_TOKENS)


def state_max_length(folder: Path, num_tokens: int) -> None:
    """Say in a checkpoint's tokenizer how many tokens its model can read, so that it truncates."""
    path = folder / CONFIG
    if path.exists():
        _write(folder, json.loads(path.read_text()) | {"model_max_length": num_tokens})


def _write(folder: Path, config: dict[str, object]) -> None:
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / CONFIG).write_text(text + "\n")
