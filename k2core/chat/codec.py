"""Dialogues to token ids and back, over one tokenizer folder."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer

from k2core.chat import tokens as t
from k2core.chat.parse import TokenSpan, parse_spans
from k2core.chat.template import TextRun, pieces
from schemas.chat import Message, ToolSpec


class EncodedDialogue(NamedTuple):
    """Token ids, and 1 where the assistant wrote the token."""

    ids: list[int]
    loss_mask: list[int]


class ChatCodec:
    """Encodes piece by piece: content that spells a special token stays plain text."""

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: a tokenizer in the Hugging Face layout is needed")
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.encode_special_tokens = True
        self._special: dict[str, int] = {}
        for token in t.SPECIAL_TOKENS:
            number = self._tokenizer.token_to_id(token)
            if number is None:
                raise ValueError(f"{path} lacks the special token {token}")
            self._special[token] = number
        self._names = {number: token for token, number in self._special.items()}
        self._special_ids = frozenset(self._names)
        self._cache: dict[str, list[int]] = {}

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Where an assistant's turn ends."""
        return (self._special[t.END], self._special[t.EOS])

    @property
    def special_ids(self) -> frozenset[int]:
        """Tokens that no text is made of."""
        return self._special_ids

    @property
    def vocab_size(self) -> int:
        """Tokens in all, special ones included."""
        return int(self._tokenizer.get_vocab_size())

    @property
    def pad_id(self) -> int:
        """Fills the end of a row."""
        return self._special[t.PAD]

    def encode(self, text: str) -> list[int]:
        """Plain text to ids."""
        if len(text) > 2000:
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        found = self._cache.get(text)
        if found is None:
            if len(self._cache) > 50_000:
                self._cache.clear()
            found = list(self._tokenizer.encode(text, add_special_tokens=False).ids)
            self._cache[text] = found
        return list(found)

    def encode_dialogue(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> EncodedDialogue:
        """A whole dialogue; the mask is 1 on content, calls and closing token of the assistant."""
        return self._encode(pieces(messages, tools))

    def encode_prompt(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> list[int]:
        """A dialogue so far, with the header after which the assistant writes."""
        return self._encode(pieces(messages, tools, add_generation_prompt=True)).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Ids to text, special tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def split(self, ids: Sequence[int]) -> list[TokenSpan]:
        """Special tokens, and the text between them."""
        spans: list[TokenSpan] = []
        for special, group in groupby(ids, self._names.get):
            if special is None:
                spans.append(TokenSpan(self.decode(list(group)), special=False))
            else:
                spans += [TokenSpan(special, special=True) for _ in group]
        return spans

    def parse(self, ids: Sequence[int], next_index: int) -> Message:
        """An assistant's turn as it was sampled, with or without the token that closes it.

        Args:
            ids: what follows the header of `encode_prompt`.
            next_index: calls made in the dialogue so far; K2 counts over the whole dialogue.

        Raises:
            ToolCallSyntaxError: says which part of the tool-call section is wrong.
        """
        is_closed = bool(ids) and ids[-1] in self.stop_token_ids
        return parse_spans(self.split(ids[:-1] if is_closed else ids), next_index)

    def _encode(self, parts: Iterable[TextRun]) -> EncodedDialogue:
        ids: list[int] = []
        mask: list[int] = []
        for piece in parts:
            new = [self._special[piece.text]] if piece.special else self.encode(piece.text)
            ids += new
            mask += [int(piece.learned)] * len(new)
        return EncodedDialogue(ids, mask)
