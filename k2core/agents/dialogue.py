"""A finished dialogue, token by token as it was sampled."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from k2core.agents.session import Session, StopReason
from schemas.chat import Message, Problem


class Segment(NamedTuple):
    """A run of tokens from one side."""

    token_ids: list[int]
    logprobs: list[float] | None
    """Log p of each token under the weights that sampled it; None for a prompt's tokens."""


class Dialogue(NamedTuple):
    """What came of one problem. Training on `token_ids` needs no second tokenization."""

    problem: Problem
    messages: tuple[Message, ...]
    segments: tuple[Segment, ...]
    """Prompt and policy segments in turns; empty for an expert's dialogue."""
    state: Mapping[str, JsonValue]
    """The environment's final state."""
    stop_reason: StopReason
    num_calls: int
    """Tool calls that were executed."""
    weights: str
    """Digest of the weights that served it, or `expert`."""

    @property
    def token_ids(self) -> list[int]:
        """All tokens in order."""
        return [token for segment in self.segments for token in segment.token_ids]

    @property
    def policy_mask(self) -> list[int]:
        """1 where the policy wrote the token."""
        return [int(s.logprobs is not None) for s in self.segments for _ in s.token_ids]

    @property
    def logprobs(self) -> list[float]:
        """Aligned with `token_ids`; 0 where the policy did not write."""
        return [p for s in self.segments for p in (s.logprobs or [0.0] * len(s.token_ids))]

    @property
    def num_tokens(self) -> int:
        """Tokens that the policy wrote."""
        return sum(len(s.token_ids) for s in self.segments if s.logprobs is not None)

    @property
    def over_budget(self) -> bool:
        """Whether turns, tokens or context ran out before the final answer."""
        return self.stop_reason in {"turn_limit", "token_budget", "context"}


def close_session(session: Session, weights: str, segments: Sequence[Segment] = ()) -> Dialogue:
    """What came of a session that has ended.

    Args:
        session: the problem, played to its end.
        weights: who acted, as `Dialogue.weights` says.
        segments: the tokens in turns, where a policy's were sampled.

    Raises:
        RuntimeError: the assistant is still to speak.
    """
    if session.stop_reason is None:
        raise RuntimeError(f"{session.problem.problem_id} has not ended")
    return Dialogue(
        session.problem,
        tuple(session.messages),
        tuple(segments),
        session.state,
        session.stop_reason,
        session.num_calls,
        weights,
    )
