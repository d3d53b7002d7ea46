"""What is wrong with a row of somebody's file."""

import json

from pydantic import JsonValue

_SHOWN = 40


class RowError(ValueError):
    """A row that makes no problem; says which field, and what would be right."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


def shown(value: JsonValue) -> str:
    """The beginning of a value, for a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
