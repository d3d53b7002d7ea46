"""Tokenizers that are brought: as they are, from ranks, and with rows for K2's tokens."""

import base64
import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from k2core.adopt import AdoptError, CheckpointSource
from k2core.adopt.tokenizer import PATTERN, write_tokenizer
from k2core.chat import CHAT_TEMPLATE, SPECIAL_TOKENS, ChatCodec
from k2core.chat.jinja import GUARD
from schemas.chat import Message

TEXTS = (
    "Hello, World! It's 12345 apples, they'LL see.",
    "数学是美丽的 Äpfel naïve café — déjà vu",
    "def f(x):\n    return x ** 2\r\n\r\n\ttabs",
    "  leading,   inner   and trailing   ",
    "ЖЩЯ и HTTPServer 한국어 ﷺ \U0001f600\u200d\U0001f525",
    "<|im_end|>[BOS]",
    "",
)


def train(special: tuple[str, ...] = SPECIAL_TOKENS) -> Tokenizer:
    """Of bytes and some merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return tokenizer


def write(folder: Path, tokenizer: Tokenizer | None, **config: object) -> CheckpointSource:
    folder.mkdir()
    if tokenizer:
        tokenizer.save(str(folder / "tokenizer.json"))
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return CheckpointSource(str(folder), folder)


def ranks() -> dict[bytes, int]:
    """Bytes, and pieces made of two that are there already."""
    found = {bytes([byte]): byte for byte in range(256)}
    for piece in ("he", "hel", "lo", "hello", "12", "123", " W", "数", "学", "数学", "ap", "app"):
        raw = piece.encode()
        for stop in range(2, len(raw) + 1):
            found.setdefault(raw[:stop], len(found))
    return found


def write_ranks(folder: Path, named: dict[int, str]) -> CheckpointSource:
    decoder = {str(number): {"content": token} for number, token in named.items()}
    source = write(folder, None, added_tokens_decoder=decoder, auto_map={"AutoTokenizer": "x.Y"})
    lines = [f"{base64.b64encode(t).decode()} {rank}" for t, rank in ranks().items()]
    (folder / "tiktoken.model").write_text("\n".join(lines) + "\n")
    return CheckpointSource(source.address, folder)


def test_ranks_give_what_tiktoken_gives(tmp_path: Path) -> None:
    from tiktoken import Encoding

    first = len(ranks())
    named = {first + place: token for place, token in enumerate(SPECIAL_TOKENS)}
    source = write_ranks(tmp_path / "kimi", named)
    told = write_tokenizer(source, tmp_path / "out", first + 256, add_chat_tokens=False)
    assert told.added == {}
    reference = Encoding("kimi", pat_str=PATTERN, mergeable_ranks=ranks(), special_tokens={})
    codec = ChatCodec(tmp_path / "out")
    for text in TEXTS:
        assert codec.encode(text) == reference.encode(text, disallowed_special=())
        assert codec.decode(codec.encode(text)) == text
    assert codec.stop_token_ids == (first + 3, first + 1)
    assert codec.vocab_size == first + 256


def test_reserved_rows_become_the_tokens_that_lack(tmp_path: Path) -> None:
    """As Moonlight's: the chat's tokens are there, and those of tool calls are not."""
    first = len(ranks())
    source = write_ranks(
        tmp_path / "moon", {first + n: t for n, t in enumerate(SPECIAL_TOKENS[:8])}
    )
    with pytest.raises(AdoptError, match=r"lacks <\|tool_calls_section_begin\|>, .*add_chat_tok"):
        write_tokenizer(source, tmp_path / "no", first + 256, add_chat_tokens=False)
    told = write_tokenizer(source, tmp_path / "out", first + 256, add_chat_tokens=True)
    assert told.added == {t: first + 8 + n for n, t in enumerate(SPECIAL_TOKENS[8:])}
    codec = ChatCodec(tmp_path / "out")
    ids = codec.encode_prompt([Message(role="user", content="hello")])
    assert ids[0] == first + 4  # <|im_user|>
    assert codec.decode(ids).endswith("<|im_assistant|>assistant<|im_middle|>")


def test_rows_after_all_tokens_are_taken_where_none_is_reserved(tmp_path: Path) -> None:
    tokenizer = train(special=("[EOS]", "[BOS]", "[PAD]"))
    size, lacking = tokenizer.get_vocab_size(), len(SPECIAL_TOKENS) - 3
    source = write(tmp_path / "source", tokenizer)
    told = write_tokenizer(source, tmp_path / "out", size + lacking, add_chat_tokens=True)
    assert sorted(told.added.values()) == list(range(size, size + lacking))
    codec = ChatCodec(tmp_path / "out")
    assert codec.vocab_size == size + lacking
    for text in TEXTS:
        assert codec.encode(text) == tokenizer_ids(tokenizer, text)
    with pytest.raises(AdoptError, match="0 reserved tokens and 9 rows"):
        write_tokenizer(source, tmp_path / "less", size + 9, add_chat_tokens=True)
    with pytest.raises(
        AdoptError, match=f"tokenizer has {size} tokens and its embedding {size - 1}"
    ):
        write_tokenizer(source, tmp_path / "least", size - 1, add_chat_tokens=True)


def tokenizer_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    tokenizer.encode_special_tokens = True
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def test_no_text_is_cut_or_filled_as_its_maker_left_it(tmp_path: Path) -> None:
    tokenizer, plain = train(), train()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64, pad_id=2, pad_token="[PAD]")
    source = write(tmp_path / "source", tokenizer)
    write_tokenizer(source, tmp_path / "out", 400, add_chat_tokens=False)
    codec = ChatCodec(tmp_path / "out")
    for text in TEXTS:
        assert codec.encode(text) == tokenizer_ids(plain, text)


def test_special_tokens_are_found_before_the_guard_is_dropped(tmp_path: Path) -> None:
    tokenizer = train()
    tokenizer.add_special_tokens([AddedToken("[EOT]", normalized=True, special=True)])
    write_tokenizer(write(tmp_path / "s", tokenizer), tmp_path / "o", 400, add_chat_tokens=False)
    brought = Tokenizer.from_file(str(tmp_path / "o" / "tokenizer.json"))
    text = f"[{GUARD}EOT]"
    assert brought.token_to_id("[EOT]") not in brought.encode(text).ids
    assert brought.decode(brought.encode(text).ids) == "[EOT]"
    assert "EOT" in (tmp_path / "o" / "chat_template.jinja").read_text()


@pytest.mark.parametrize("token", [[], ["[EOS]"], {"content": ["[EOS]"]}, {}, 5, None, "nobody's"])
def test_a_token_of_no_form_is_passed_over(tmp_path: Path, token: object) -> None:
    source = write(tmp_path / "source", train(), chat_template=OWN, eos_token=token)
    write_tokenizer(source, tmp_path / "out", 400, add_chat_tokens=False)
    written = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert written["eos_token"] == "<|im_end|>"


def test_a_template_that_is_no_text_is_still_a_file(tmp_path: Path) -> None:
    source = write(tmp_path / "source", train())
    (tmp_path / "source" / "chat_template.jinja").write_bytes(b"a\xff")
    source = CheckpointSource(source.address, tmp_path)
    write_tokenizer(source, tmp_path / "out", 400, add_chat_tokens=False)
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == "a\ufffd"


OWN = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("config", "file", "expected"),
    [
        ({}, None, CHAT_TEMPLATE),
        ({"chat_template": OWN}, None, OWN),
        (
            {
                "chat_template": [
                    {"name": "tools", "template": "x"},
                    {"name": "default", "template": OWN},
                ]
            },
            None,
            OWN,
        ),
        ({"chat_template": "older"}, OWN, OWN),
        ({"bos_token": {"content": "[BOS]"}, "eos_token": "[EOS]", "pad_token": None}, OWN, OWN),
    ],
)
def test_a_template_of_its_own_stays(
    tmp_path: Path, config: dict[str, object], file: str | None, expected: str
) -> None:
    source = write(tmp_path / "source", train(), **config)
    if file:
        (tmp_path / "source" / "chat_template.jinja").write_text(file)
    source = CheckpointSource(source.address, tmp_path)
    told = write_tokenizer(source, tmp_path / "out", 400, add_chat_tokens=False)
    assert told.template == ("its own" if expected == OWN else "K2's")
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == expected
    written = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert written["chat_template"] == expected
    assert written["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert written["eos_token"] == config.get("eos_token", "<|im_end|>")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("tokenizer.json", "{", "tokenizer.json cannot be read"),
        ("tiktoken.model", "aGVsbG8= one\n", "line 1: not a token in base64 and its rank"),
        ("tiktoken.model", "!!! 1\n", "line 1: not a token in base64"),
        ("tokenizer_config.json", "{", "tokenizer_config.json is no JSON"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, file: str, text: str, said: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / file).write_text(text)
    with pytest.raises(AdoptError, match=said):
        write_tokenizer(
            CheckpointSource(str(tmp_path / "source"), tmp_path),
            tmp_path / "o",
            400,
            add_chat_tokens=True,
        )
