"""A dialogue while it is played: turns of the policy, what its environment answers, and retries."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from k2core.agents.dialogue import Dialogue, Segment, Start, break_off, close_session
from k2core.agents.opening import OpenSession
from k2core.agents.session import StopReason
from k2core.chat import ToolCallSyntaxError, turn_grammar
from k2core.engines.protocol import Ask, Completion, Decoding
from schemas.chat import Message, ToolSpec


class PromptTooLongError(ValueError):
    """A problem whose words alone fill the context; says which, and by how much."""


class Codec(Protocol):
    """What a rollout needs of `k2core.chat.ChatCodec`."""

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Where an assistant's turn ends."""

    def encode_prompt(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> list[int]:
        """Messages as ids, with the header after which the assistant writes."""

    def decode(self, ids: Sequence[int]) -> str:
        """Ids to text, special tokens included."""

    def parse(self, ids: Sequence[int], next_index: int) -> Message:
        """A sampled turn as a message."""


class ReplayError(RuntimeError):
    """An environment does not answer as it did when the dialogue was begun."""


class How(NamedTuple):
    """How each turn is sampled."""

    temperature: float
    top_p: float
    enforced: bool
    """Hold it to K2's format and the tools' schemas."""
    max_repeats: int = 0


class Table(NamedTuple):
    """What all dialogues of a rollout are played with."""

    codec: Codec
    open_session: OpenSession
    max_context: int
    how: How
    weights: str
    """Digest of the engine's."""
    max_retries: int = 2
    """Times that a faulty dialogue is played again."""


class Player:
    """Plays a problem until a dialogue ends, is put off, or its environment has failed too often.

    Args:
        place: its number.
        start: the problem, and what was said so far.
        table: what it is played with.
    """

    def __init__(self, place: int, start: Start, table: Table) -> None:
        self.place = place
        self.ask: Ask | None = None
        """The next turn."""
        self.result: Dialogue | Start | None = None
        """What came of it."""
        self._run: _Run | None = None
        self._start, self._table, self._tries = start, table, table.max_retries + 1

    def open(self) -> None:
        """Begin; an environment may fail here, too."""
        try:
            self._run = _Run(self._start, self._table)
            self._run.replay(self._start.segments)
            self._go_on(self._run)
        except PromptTooLongError:
            raise
        except Exception as error:
            self._fail(error)

    def take(self, completion: Completion) -> None:
        """Go on by a turn."""
        run, self.ask = self._run, None
        assert run
        try:
            run.take(completion)
            if completion.finish_reason == "paused":
                self.result = run.put_off(self._start)
            else:
                self._go_on(run)
        except Exception as error:
            self._fail(error)

    def give_up(self, error: Exception) -> None:
        """Its environment says nothing."""
        self.ask = None
        self.result = break_off(self._start.problem, self._table.weights, error)

    def _go_on(self, run: "_Run") -> None:
        if run.session.stop_reason is None:
            sampling, known = run.next_sampling(), self._start.expected
            known = known and known.after(run.num_written, sampling.max_tokens)
            self.ask = Ask(self.place, run.token_ids, sampling, run.num_turns, known)
        else:
            self.result = run.finish()

    def _fail(self, error: Exception) -> None:
        self._tries -= 1
        if self._tries:
            fresh = hashlib.sha256(f"{self._start.seed}/again".encode()).digest()
            anew = int.from_bytes(fresh[:4], "big")
            self._start = self._start._replace(seed=anew, segments=())
            self.open()
        else:
            self.give_up(error)


class _Run:
    """One dialogue while it is played."""

    def __init__(self, start: Start, table: Table) -> None:
        problem, self._seed = start.problem, start.seed
        self._codec, self._how, self._weights = table.codec, table.how, table.weights
        self._max_context = table.max_context
        prompt = self._codec.encode_prompt(problem.messages, problem.tools)
        if len(prompt) >= self._max_context:
            raise PromptTooLongError(
                f"{problem.problem_id}: its prompt has {len(prompt)} tokens, the context only "
                f"{self._max_context}: shorten it or raise max_context"
            )
        self.token_ids = prompt
        self._segments = [Segment(list(prompt), None)]
        self._budget = problem.max_tokens
        self._turn: list[int] = []
        """What the policy has said of the turn that it is at."""
        self._held = ""
        """The grammar that it is held to there."""
        self.session = table.open_session(problem)

    @property
    def num_turns(self) -> int:
        """That the policy has begun."""
        return sum(segment.logprobs is not None for segment in self._segments)

    @property
    def num_written(self) -> int:
        """Tokens that the policy has written."""
        return sum(len(s.token_ids) for s in self._segments if s.logprobs is not None)

    def next_sampling(self) -> Decoding:
        """How to sample what comes next, within the budget and the context."""
        turn = hashlib.sha256(f"{self._seed}/{len(self._segments)}".encode()).digest()
        self._held = self._grammar() if self._how.enforced else ""
        return Decoding(
            max_tokens=min(self._budget, self._max_context - len(self.token_ids)),
            temperature=self._how.temperature,
            top_p=self._how.top_p,
            seed=int.from_bytes(turn[:4], "big"),
            stop_token_ids=self._codec.stop_token_ids,
            grammar=self._held,
            max_repeats=self._how.max_repeats,
        )

    def _grammar(self) -> str:
        tools = {tool.name: tool.parameters for tool in self.session.problem.tools}
        return turn_grammar(tools, self.session.num_calls)

    def replay(self, segments: Sequence[Segment]) -> None:
        """Say what was said; the environment is to answer as it did.

        Raises:
            ReplayError: it does not.
        """
        for place, segment in enumerate(segments):
            if segment.logprobs is None:
                continue
            follows = segments[place + 1] if place + 1 < len(segments) else None
            whole = follows is not None and follows.logprobs is None
            said = Completion(segment.token_ids, segment.logprobs, "stop" if whole else "paused")
            self.take(said, segment.weights)
        if [s.token_ids for s in self._segments] != [
            s.token_ids for s in segments or self._segments
        ]:
            raise ReplayError(
                f"{self.session.problem.problem_id}: its environment does not answer as before"
            )

    def take(self, completion: Completion, weights: str = "") -> None:
        """Append a turn or a part of it; execute a whole one's calls, append what they return.

        Args:
            completion: what the policy said.
            weights: their digest, where they are not the engine's.
        """
        ids = list(completion.token_ids)
        if ids:
            self.token_ids = self.token_ids + ids
            told = weights or self._weights
            self._segments.append(Segment(ids, list(completion.logprobs), told, self._held))
        self._budget -= len(ids)
        self._turn = self._turn + ids
        if completion.finish_reason == "paused":
            return
        turn, self._turn = self._turn, []
        closed = bool(turn) and turn[-1] in self._codec.stop_token_ids
        text = self._codec.decode(turn[:-1] if closed else turn)
        raw = Message(role="assistant", content=text)
        if not closed:
            self.session.cut_off(raw, self._why_open(completion.finish_reason))
            return
        try:
            message = self._codec.parse(turn, self.session.num_calls)
        except ToolCallSyntaxError:
            self.session.cut_off(raw, "malformed")
            return
        answers = self.session.reply(message)
        if self.session.stop_reason is None:
            self._continue(answers)

    def _why_open(self, finish_reason: str) -> StopReason:
        if finish_reason == "repetition":
            return "repetition"
        full = len(self.token_ids) >= self._max_context and self._budget > 0
        return "context" if full else "token_budget"

    def _continue(self, answers: Sequence[Message]) -> None:
        prompt = self._codec.encode_prompt(answers)
        if self._budget <= 0:
            self.session.stop_reason = "token_budget"
        elif len(self.token_ids) + len(prompt) >= self._max_context:
            self.session.stop_reason = "context"
        else:
            self.token_ids = self.token_ids + prompt
            self._segments.append(Segment(prompt, None))

    def put_off(self, start: Start) -> Start:
        """What was said so far, for another time."""
        return start._replace(segments=tuple(self._segments))

    def finish(self) -> Dialogue:
        """What came of it."""
        return close_session(self.session, self._weights, self._segments)
