"""A byte-level BPE with K2's special tokens and numbers in groups of at most two digits.

The pattern that splits words is tiktoken's `cl100k_base`, and K2's, but for digits: those group up
to three. A small vocabulary holds all groups of two, so that a number of two digits is one token to
copy (docs/log.md: a model of 2 M parameters copies tokens long before it copies their digits).
It drops the chat template's guard, a noncharacter, and keeps all other text.
"""

import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from k2core.pieces import Crew, Piece
from k2core.store import Workspace
from k2core.tokenize.texts import sample_texts
from schemas.errors import InputsError
from schemas.tokenize import TokenizeConfig

_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_BYTES_PER_TOKEN = 4


def train_tokenizer(
    config: TokenizeConfig, shards: Sequence[Piece], crew: Crew, workspace: Workspace
) -> Path:
    """Write `tokenizer/` in the Hugging Face layout; a resumed run finds it in the scratch folder.

    The vocabulary is fitted to what the model reads: of each domain about as much text as the
    mixture asks for.

    Raises:
        InputsError: the text holds too few different words for the vocabulary.
    """
    from k2core.chat import SPECIAL_TOKENS

    kept = workspace.scratch / "tokenizer"
    if not kept.exists():
        tokenizer = _untrained()
        trainer = trainers.BpeTrainer(
            vocab_size=config.vocab_size,
            show_progress=False,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        )
        asked = config.train_tokens and config.train_tokens * _BYTES_PER_TOKEN
        texts = sample_texts(shards, config.mixture, asked, crew, workspace.scratch)
        tokenizer.train_from_iterator(texts, trainer)
        if (size := tokenizer.get_vocab_size()) != config.vocab_size:
            raise InputsError(
                f"the corpus gives {size} tokens, not vocab_size={config.vocab_size}: collect "
                "more text, or lower vocab_size here and in the model"
            )
        aside = workspace.scratch / "tokenizer.aside"
        _save(tokenizer, aside)
        aside.rename(kept)
    return Path(shutil.copytree(kept, workspace.out / "tokenizer"))


def copy_tokenizer(model: Path, out: Path) -> Path:
    """A model's own, as `tokenizer/`."""
    from k2core.chat.hub import CONFIG

    folder = out / "tokenizer"
    folder.mkdir()
    for name in ("tokenizer.json", CONFIG, "chat_template.jinja"):
        shutil.copyfile(model / name, folder / name)
    return folder


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer for corpora: text that spells a special token stays text."""
    return read_tokenizer((folder / "tokenizer.json").read_text())


@cache
def read_tokenizer(content: str) -> Tokenizer:
    """The same of what stands in its file; each is read once a process."""
    tokenizer = Tokenizer.from_str(content)
    tokenizer.encode_special_tokens = True
    return tokenizer


def end_of_document(tokenizer: Tokenizer) -> int:
    """The token that ends every document."""
    from k2core.chat.tokens import EOS

    end = tokenizer.token_to_id(EOS)
    if end is None:
        raise ValueError(f"the tokenizer lacks {EOS}, which ends documents")
    return end


def _untrained() -> Tokenizer:
    from k2core.chat import DROP_GUARD

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = DROP_GUARD
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _save(tokenizer: Tokenizer, folder: Path) -> None:
    from k2core.chat.hub import write_chat_files

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    write_chat_files(folder)
