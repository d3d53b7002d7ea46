"""A foreign tokenizer as files that this pipeline reads; none of its code is run.

`tokenizer.json` is taken as it is. Moonlight's and K2's `tiktoken.model` becomes one: its ranks
give the merges, and the pattern that splits words, which they have in code, stands below.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from k2core.adopt.errors import AdoptError
from k2core.adopt.places import TIKTOKEN, TOKENIZER, CheckpointSource
from k2core.chat import DROP_GUARD, SPECIAL_TOKENS
from k2core.chat.hub import write_chat_files
from schemas.outside import NotJsonError, read_json

_NUM_RESERVED = 256
"""Rows after the ranks for special tokens, in Moonlight's and K2's vocabularies."""
_RESERVED = "<|reserved_token_{}|>"
_WORD = r"[^\r\n\p{L}\p{N}]?"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERN = "|".join(
    [
        r"[\p{Han}]+",
        f"{_WORD}{_UPPER}*{_LOWER}+{_SHORT}",
        f"{_WORD}{_UPPER}+{_LOWER}*{_SHORT}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
"""Of Kimi's tokenizers: Chinese by itself, words by case, numbers in groups of three digits."""

Json = Mapping[str, JsonValue]


class Brought(NamedTuple):
    """What became of a tokenizer."""

    added: dict[str, int]
    """Special tokens that were given a row."""
    template: str
    """Whose chat template it is: the source's, or K2's where the source has none."""


def write_tokenizer(
    source: CheckpointSource, folder: Path, vocab_size: int, *, add_chat_tokens: bool
) -> Brought:
    """Write the tokenizer's files into a folder.

    Args:
        source: the checkpoint's files.
        folder: where to.
        vocab_size: rows of the embedding.
        add_chat_tokens: as `AdoptConfig.add_chat_tokens`.

    Raises:
        AdoptError: there is no tokenizer that can be read without its own code, it has more tokens
            than the embedding has rows, or it lacks special tokens of K2's chat format.
    """
    told = _read_object(source, "tokenizer_config.json")
    tokenizer = _read_tokenizer(source, told)
    size = tokenizer.get_vocab_size()
    if size > vocab_size:
        raise AdoptError(
            f"{source.address}: its tokenizer has {size} tokens and its embedding {vocab_size} "
            "rows: they are of different models"
        )
    lacking = [token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is None]
    if lacking and not add_chat_tokens:
        raise AdoptError(
            f"{source.address}: its tokenizer lacks {', '.join(lacking)}, with which dialogues are "
            "encoded; adopt.add_chat_tokens=true gives them rows that no token uses"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # Left on by whoever saved it, either would cut or fill every text, without a word.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    own = tokenizer.normalizer
    tokenizer.normalizer = normalizers.Sequence([DROP_GUARD, own]) if own else DROP_GUARD
    text = _give_rows(json.loads(tokenizer.to_str()), lacking, size, vocab_size, source.address)
    (folder / TOKENIZER).write_text(text)
    added = Tokenizer.from_str(text)
    template = _read_template(source, told)
    write_chat_files(folder)
    if template:
        _put_own(folder, told, template)
    return Brought(
        {token: added.get_vocab()[token] for token in lacking}, "its own" if template else "K2's"
    )


def _read_tokenizer(source: CheckpointSource, told: Json) -> Tokenizer:
    if TOKENIZER in source.names:
        try:
            return Tokenizer.from_file(str(source.fetch(TOKENIZER)))
        except Exception as error:
            raise AdoptError(f"{source.address}/{TOKENIZER} cannot be read: {error}") from None
    if TIKTOKEN in source.names:
        return _from_ranks(source.fetch(TIKTOKEN), told)
    raise AdoptError(
        f"{source.address} has no {TOKENIZER} and no {TIKTOKEN}: a model is brought with its "
        "tokenizer (transformers' save_pretrained writes one)"
    )


def _from_ranks(path: Path, told: Json) -> Tokenizer:
    """A tokenizer that gives what tiktoken gives with these ranks and Kimi's pattern."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise AdoptError(f"{path}, line {number}: not a token in base64 and its rank") from None
    letters = _byte_letters()

    def spell(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = [
        (spell(token[:at]), spell(token[at:]))
        for token in sorted(ranks, key=ranks.__getitem__)
        for at in sorted(
            (n for n in range(1, len(token)) if token[:n] in ranks and token[n:] in ranks),
            key=lambda n, token=token: (ranks[token[:n]], ranks[token[n:]]),  # type: ignore[misc]
        )
    ]
    vocabulary = {spell(token): rank for token, rank in ranks.items()}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
    split = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(_special_tokens(told, len(ranks)))
    return tokenizer


def _special_tokens(told: Json, first: int) -> list[AddedToken]:
    """Those that `tokenizer_config.json` names, and reserved ones between."""
    decoder = told.get("added_tokens_decoder")
    named = {
        int(number): str(about["content"])
        for number, about in (decoder.items() if isinstance(decoder, dict) else ())
        if isinstance(about, dict) and number.isdecimal() and "content" in about
    }
    rows = range(first, first + _NUM_RESERVED)
    contents = [named.get(row, _RESERVED.format(row)) for row in rows]
    return [AddedToken(content, normalized=False, special=True) for content in contents]


def _byte_letters() -> dict[int, str]:
    """How byte-level vocabularies spell a byte: printable ones as they are, others from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {
        byte: chr(256 + place) for place, byte in enumerate(others)
    }


def _give_rows(
    data: dict[str, JsonValue], lacking: list[str], size: int, vocab_size: int, address: str
) -> str:
    """The tokenizer with each lacking token on a reserved row, or on one after all tokens."""
    entries = data["added_tokens"]
    assert isinstance(entries, list)
    reserved = [e for e in entries if isinstance(e, dict) and _is_reserved(str(e["content"]))]
    free = vocab_size - size
    if len(lacking) > len(reserved) + free:
        raise AdoptError(
            f"{address}: {len(lacking)} special tokens are to be added, and its vocabulary has "
            f"{len(reserved)} reserved tokens and {free} rows that no token uses"
        )
    for entry in entries:
        if isinstance(entry, dict) and entry["special"]:
            entry["normalized"] = False  # found before the guard is dropped, or text would be one
    for token in lacking:
        if reserved:
            reserved.pop(0)["content"] = token
        else:
            about: dict[str, JsonValue] = {"id": size, "content": token, "single_word": False}
            about |= {"lstrip": False, "rstrip": False, "normalized": False, "special": True}
            entries.append(about)
            size += 1
    return json.dumps(data, ensure_ascii=False)


def _is_reserved(content: str) -> bool:
    return content.startswith("<|reserved_") and content.endswith("|>")


def _read_template(source: CheckpointSource, told: Json) -> str:
    if "chat_template.jinja" in source.names:
        return source.fetch("chat_template.jinja").read_text(errors="replace")
    found = told.get("chat_template")
    if found is None and "chat_template.json" in source.names:
        found = _read_object(source, "chat_template.json").get("chat_template")
    if isinstance(found, list):  # several by name
        named = [each for each in found if isinstance(each, dict)]
        found = next((e.get("template") for e in named if e.get("name") == "default"), None)
    return found if isinstance(found, str) else ""


def _put_own(folder: Path, told: Json, template: str) -> None:
    """The source's template in both places, and its own first, last and filling tokens."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"chat_template": template}
    known = {
        entry["content"] for entry in json.loads((folder / TOKENIZER).read_text())["added_tokens"]
    }
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        found = told.get(name)
        content = found.get("content") if isinstance(found, dict) else found
        if isinstance(content, str) and content in known:
            config[name] = content
    path.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    (folder / "chat_template.jinja").write_text(template)


def _read_object(source: CheckpointSource, name: str) -> Json:
    if name not in source.names:
        return {}
    try:
        found = read_json(source.fetch(name).read_bytes())
    except NotJsonError as error:
        raise AdoptError(f"{source.address}/{name} is no JSON: {error}") from None
    return found if isinstance(found, dict) else {}
