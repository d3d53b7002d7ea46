"""Which problems fit a model: a prompt that fills the context cannot be answered by anybody."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from schemas.chat import Message, Problem, ToolSpec


class PromptEncoder(Protocol):
    """What is needed of `k2core.chat.ChatCodec`."""

    def encode_prompt(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> list[int]:
        """Messages as ids, with the header after which the assistant writes."""


class Fitting(NamedTuple):
    """Problems that fit, and those that do not."""

    kept: list[Problem]
    too_long: list[Problem]

    def rows(self, max_context: int) -> list[dict[str, object]]:
        """What was left out, for a report."""
        return [
            {"problem": p.problem_id, "left out": f"its prompt fills {max_context} tokens"}
            for p in self.too_long
        ]


def fit_context(problems: Sequence[Problem], codec: PromptEncoder, max_context: int) -> Fitting:
    """Part the problems by whether their prompts leave room for an answer.

    Raises:
        ValueError: none does.
    """
    fits = [len(codec.encode_prompt(p.messages, p.tools)) < max_context for p in problems]
    kept = [p for p, fit in zip(problems, fits, strict=True) if fit]
    if problems and not kept:
        raise ValueError(
            f"no prompt of {len(problems)} problems leaves room for an answer in the context of "
            f"{max_context} tokens: shorten them, or take a model with a longer context"
        )
    return Fitting(kept, [p for p, fit in zip(problems, fits, strict=True) if not fit])
