"""A finished dialogue, token by token as it was sampled."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from k2core.agents.session import Session, StopReason
from k2core.engines.protocol import Forecast
from schemas.chat import Message, Problem
from schemas.outside import make_encodable, make_plain


class Segment(NamedTuple):
    """A run of tokens from one side."""

    token_ids: list[int]
    logprobs: list[float] | None
    """Log p of each token under the weights that sampled it; None for a prompt's tokens."""
    weights: str = ""
    """Their digest, where they are not those that served the dialogue's end."""
    grammar: str = ""
    """That it was sampled under; log p is then of what that left."""


class Start(NamedTuple):
    """A dialogue to be played, from its beginning or from where an earlier iteration left it."""

    problem: Problem
    seed: int
    segments: tuple[Segment, ...] = ()
    """What was said so far; a policy's segment at the end is a turn's beginning."""
    expected: Forecast | None = None
    """Tokens that the policy will write in all; None where nobody knows."""


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
    fault: str = ""
    """Of a faulty dialogue: what broke, in the environment or the endpoint."""
    num_counted: int = 0
    """Tokens that an endpoint says it wrote, where nobody saw them."""

    @property
    def token_ids(self) -> list[int]:
        """All tokens in order."""
        return [token for segment in self.segments for token in segment.token_ids]

    @property
    def policy_mask(self) -> list[int]:
        """1 where the policy wrote the token."""
        return [int(s.logprobs is not None) for s in self.segments for _ in s.token_ids]

    @property
    def loss_mask(self) -> list[int]:
        """1 where the weights that served its end wrote the token: the others' are off-policy."""
        return [
            int(s.logprobs is not None and s.weights in ("", self.weights))
            for s in self.segments
            for _ in s.token_ids
        ]

    @property
    def logprobs(self) -> list[float]:
        """Aligned with `token_ids`; 0 where the policy did not write."""
        return [p for s in self.segments for p in (s.logprobs or [0.0] * len(s.token_ids))]

    @property
    def num_tokens(self) -> int:
        """Tokens that the policy wrote."""
        seen = sum(len(s.token_ids) for s in self.segments if s.logprobs is not None)
        return self.num_counted + seen

    @property
    def num_stale(self) -> int:
        """Of these, those that earlier weights wrote."""
        return self.num_tokens - sum(self.loss_mask)

    @property
    def over_budget(self) -> bool:
        """Whether turns, tokens or context ran out before the final answer, or would have."""
        return self.stop_reason in {"turn_limit", "token_budget", "context", "repetition"}

    @property
    def is_truncated(self) -> bool:
        """Whether tokens ran out, its own or the context's."""
        return self.stop_reason in {"token_budget", "context"}

    @property
    def is_faulty(self) -> bool:
        """Whether it could not be played to an end: it is counted, and never rewarded."""
        return self.stop_reason == "faulty"


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
    state = make_plain(dict(session.state))
    assert isinstance(state, dict)
    return Dialogue(
        session.problem,
        tuple(session.messages),
        tuple(segments),
        state,
        session.stop_reason,
        session.num_calls,
        weights,
    )


def break_off(problem: Problem, weights: str, error: Exception) -> Dialogue:
    """A faulty dialogue: something other than the agent failed, by an error that it states."""
    fault = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    empty: dict[str, JsonValue] = {}
    return Dialogue(
        problem, problem.messages, (), empty, "faulty", 0, weights, make_encodable(fault)
    )
