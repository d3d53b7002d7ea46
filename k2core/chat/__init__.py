"""K2's chat format: special tokens, template, parsing and token ids."""

from k2core.chat.codec import ChatCodec, EncodedDialogue
from k2core.chat.jinja import CHAT_TEMPLATE, DROP_GUARD
from k2core.chat.parse import ToolCallSyntaxError, parse_assistant, validate_dialogue
from k2core.chat.template import render
from k2core.chat.tokens import SPECIAL_TOKENS
from k2core.chat.trajectories import iterate_dialogues, read_dialogues

__all__ = [
    "CHAT_TEMPLATE",
    "DROP_GUARD",
    "SPECIAL_TOKENS",
    "ChatCodec",
    "EncodedDialogue",
    "ToolCallSyntaxError",
    "iterate_dialogues",
    "parse_assistant",
    "read_dialogues",
    "render",
    "validate_dialogue",
]
