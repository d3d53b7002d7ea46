"""Tool descriptions that give orders to the model, and not only to say what the tool does.

A description goes into prompts and training data as its server states it. One that tells the model
to read keys, to hide something from the user or to forget its instructions, in words, tags or
letters that no reader sees, is marked with what it does; a config leaves marked tools out.
"""

import re
import unicodedata
from collections.abc import Iterator

from pydantic import JsonValue

from k2core.chat.tokens import SPECIAL_TOKENS
from schemas.chat import ToolSpec

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0"
    "\U000e0000-\U000e0fff]"
)
_TOLD = r"(?:instruction|prompt|rule|guideline|message|direction|command|context|policy|polic)"
_ORDERS: dict[str, re.Pattern[str]] = {
    "tag": re.compile(
        r"<\s*/?\s*(?:important|system|instructions?|secret|hidden|admin|critical|assistant|"
        r"override|priority)\b|\[/?(?:inst|system|important)\]|<<sys>>|^\s*#{1,6}\s*system\s*:",
        re.MULTILINE,
    ),
    "override": re.compile(
        r"\b(?:ignore|disregard|forget|override|bypass|discard)\b[^.\n]{0,40}?"
        rf"(?:\b(?:previous|prior|above|earlier|preceding|other|all|any|your|system)\b[^.\n]{{0,30}}?"
        rf"{_TOLD}|\beverything (?:above|before|you)\b)"
    ),
    "conceal": re.compile(
        r"\b(?:do not|don't|never|must not|mustn't|without)\b[^.\n]{0,20}?\b"
        r"(?:tell|telling|mention|inform|reveal|notify|notifying|disclose|show|alert|ask)\w*\b"
        r"[^.\n]{0,40}?\buser|\b(?:secretly|covertly)\b"
    ),
    "secrets": re.compile(
        r"~/\.[a-z]|\.ssh\b|\bid_(?:rsa|ed25519|ecdsa)\b|/etc/(?:passwd|shadow)|\.aws/|\.netrc\b|"
        r"\.bash_history\b|\bmcp\.json\b|\bauthorized_keys\b|"
        r"\b(?:read|open|send|include|attach|pass|provide|cat|exfiltrate|upload|forward)\b"
        r"[^.\n]{0,40}?(?:\.env\b|\bprivate keys?\b|\bpasswords?\b|\bcredentials\b|"
        r"\b(?:conversation|chat) history\b|\bsystem prompt\b|\benvironment variables?\b)"
    ),
    "command": re.compile(
        r"\b(?:you|the (?:assistant|model|llm|ai|agent))\b[^.\n]{0,20}?\b"
        r"(?:must|should|shall|have to|need to|are required to)\b[^.\n]{0,40}?\b"
        r"(?:before|after|whenever|instead of)\b[^.\n]{0,30}?\b(?:any|all|every|each|other)\b"
        r"[^.\n]{0,20}?\b(?:tool|call|function|answer|reply|repl|response|respon)"
    ),
}


def find_orders(spec: ToolSpec) -> tuple[str, ...]:
    """What kinds of orders a spec's words give: `override`, `conceal`, `hidden` and the like."""
    found = set[str]()
    for text in _list_texts([spec.description, dict(spec.parameters)]):
        if _HIDDEN.search(text):
            found.add("hidden")
        if any(token in text for token in SPECIAL_TOKENS if token.startswith("<|")):
            found.add("tag")
        plain = unicodedata.normalize("NFKC", _HIDDEN.sub("", text)).lower()
        plain = plain.replace("\u2019", "'")
        found |= {kind for kind, pattern in _ORDERS.items() if pattern.search(plain)}
    return tuple(sorted(found))


def _list_texts(value: JsonValue) -> Iterator[str]:
    """Every text of a declaration, names of properties included."""
    left = [value]
    while left:
        inner = left.pop()
        if isinstance(inner, str):
            yield inner
        elif isinstance(inner, dict):
            yield from inner
            left += inner.values()
        elif isinstance(inner, list):
            left += inner
