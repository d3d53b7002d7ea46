"""What a verifier looks at."""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import JsonValue

from schemas.chat import Message

OVER_BUDGET = "over_budget"
"""Reason of an outcome that was cut off by its token or turn budget (K2 section 3.2.3)."""


class Outcome(NamedTuple):
    """How a dialogue ended."""

    messages: tuple[Message, ...]
    """The whole dialogue."""
    state: Mapping[str, JsonValue] = {}
    """The environment's final state."""
    over_budget: bool = False
    """Whether the budget of tokens or turns cut it off before its final message."""

    @property
    def answer(self) -> str | None:
        """The final assistant text; None if the dialogue does not end with one."""
        if not self.messages:
            return None
        last = self.messages[-1]
        return last.content.strip() if last.role == "assistant" and not last.tool_calls else None
