"""K2's chat format: special tokens, template, parsing and token ids."""

from k2core.chat.codec import ChatCodec, EncodedDialogue
from k2core.chat.grammar import turn_grammar
from k2core.chat.jinja import CHAT_TEMPLATE, DROP_GUARD
from k2core.chat.parse import TokenSpan, ToolCallSyntaxError, parse_spans, validate_dialogue
from k2core.chat.template import render
from k2core.chat.tokens import SPECIAL_TOKENS
from k2core.chat.trajectories import iterate_dialogues, read_dialogues

__all__ = [
    "CHAT_TEMPLATE",
    "DROP_GUARD",
    "SPECIAL_TOKENS",
    "ChatCodec",
    "EncodedDialogue",
    "TokenSpan",
    "ToolCallSyntaxError",
    "iterate_dialogues",
    "parse_spans",
    "read_dialogues",
    "render",
    "turn_grammar",
    "validate_dialogue",
]
