"""Rollouts: many dialogues side by side over one engine, a turn of each at a time."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from k2core.agents.dialogue import Dialogue, Segment, break_off, close_session
from k2core.agents.opening import OpenSession
from k2core.agents.session import Session
from k2core.chat import ToolCallSyntaxError, turn_grammar
from k2core.engines.protocol import Completion, Engine, Sampling
from schemas.chat import Message, Problem, ToolSpec


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


def rollout(
    problems: Sequence[Problem],
    engine: Engine,
    codec: Codec,
    *,
    seeds: Sequence[int],
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_context: int = 1024,
    max_retries: int = 2,
    enforced: bool = False,
    on_turn: Callable[[int, int], None] | None = None,
    open_session: OpenSession = Session,
) -> list[Dialogue]:
    """Play each problem to its end; order is kept.

    A dialogue ends with an answer, at the problem's limit of turns, when its budget of tokens over
    all assistant messages is spent (K2 section 3.2.3), or where the model breaks the call format.
    One whose environment fails is played again with a fresh seed; if it fails to the last, it is
    `is_faulty` and says why: whoever called counts it and leaves it out.

    Raises:
        PromptTooLongError: a problem's prompt does not fit, whoever answers it.

    Args:
        problems: what is asked; one that is sampled K times stands K times in the list.
        engine: any engine; only its current weights are used.
        codec: turns messages to tokens; new messages are appended to what was sampled, never
            tokenized again with it.
        seeds: one a problem; a turn's sampling seed is drawn from it.
        temperature: of the sampling; 0 is greedy.
        top_p: of the sampling.
        enforced: hold every turn to K2's format and the tools' schemas; log p is then of what the
            grammar left.
        max_context: most tokens that the engine can hold, prompt and answer together.
        max_retries: times that a faulty dialogue is played again.
        open_session: begins a dialogue; by default with a simulator of the problem's own.
        on_turn: told after each round how many dialogues have ended, and how many there are.
    """
    weights = engine.weights
    play = partial(_Run, codec=codec, max_context=max_context, open_session=open_session)
    players = [
        _Player(p, s, play, weights, max_retries) for p, s in zip(problems, seeds, strict=True)
    ]
    while active := [(player, player.run) for player in players if player.run]:
        prompts = [run.token_ids for _, run in active]
        sampling = [run.next_sampling(temperature, top_p, enforced=enforced) for _, run in active]
        completions = engine.generate(prompts, sampling)
        for (player, _), completion in zip(active, completions, strict=True):
            player.take(completion)
        if on_turn:
            on_turn(sum(player.run is None for player in players), len(players))
    return [player.dialogue for player in players if player.dialogue]


class _Player:
    """Plays a problem until a dialogue ends, or its environment has failed too often."""

    def __init__(
        self,
        problem: Problem,
        seed: int,
        play: "Callable[[Problem, int], _Run]",
        weights: str,
        max_retries: int,
    ) -> None:
        self.run: _Run | None = None
        """The dialogue while it is played."""
        self.dialogue: Dialogue | None = None
        """What came of it."""
        self._problem, self._seed, self._play, self._weights = problem, seed, play, weights
        self._tries = max_retries + 1
        self._open()

    def take(self, completion: Completion) -> None:
        """Go on by a turn."""
        assert self.run
        try:
            self.run.take(completion)
            if self.run.session.stop_reason is None:
                return
            self.dialogue, self.run = self.run.finish(self._weights), None
        except Exception as error:
            self._fail(error)

    def _open(self) -> None:
        """Begin; an environment may fail here, too."""
        try:
            self.run = self._play(self._problem, self._seed)
        except PromptTooLongError:
            raise
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._tries -= 1
        self.run = None
        if self._tries:
            fresh = hashlib.sha256(f"{self._seed}/again".encode()).digest()
            self._seed = int.from_bytes(fresh[:4], "big")
            self._open()
        else:
            self.dialogue = break_off(self._problem, self._weights, error)


class _Run:
    """One dialogue while it is played."""

    def __init__(
        self,
        problem: Problem,
        seed: int,
        codec: Codec,
        max_context: int,
        open_session: OpenSession,
    ) -> None:
        prompt = codec.encode_prompt(problem.messages, problem.tools)
        self.token_ids = prompt
        self._segments = [Segment(list(prompt), None)]
        self._codec = codec
        self._seed = seed
        self._max_context = max_context
        self._budget = problem.max_tokens
        if len(prompt) >= max_context:
            raise PromptTooLongError(
                f"{problem.problem_id}: its prompt has {len(prompt)} tokens, the context only "
                f"{max_context}: shorten it or raise max_context"
            )
        self.session = open_session(problem)

    def next_sampling(self, temperature: float, top_p: float, *, enforced: bool) -> Sampling:
        """How to sample the next turn, within the budget and the context."""
        turn = hashlib.sha256(f"{self._seed}/{len(self._segments)}".encode()).digest()
        return Sampling(
            max_tokens=min(self._budget, self._max_context - len(self.token_ids)),
            temperature=temperature,
            top_p=top_p,
            seed=int.from_bytes(turn[:4], "big"),
            stop_token_ids=self._codec.stop_token_ids,
            grammar=self._grammar() if enforced else "",
        )

    def _grammar(self) -> str:
        tools = {tool.name: tool.parameters for tool in self.session.problem.tools}
        return turn_grammar(tools, self.session.num_calls)

    def take(self, completion: Completion) -> None:
        """Append a turn, execute its calls, append what they return."""
        ids = list(completion.token_ids)
        self.token_ids = self.token_ids + ids
        self._segments.append(Segment(ids, list(completion.logprobs)))
        self._budget -= len(ids)
        closed = bool(ids) and ids[-1] in self._codec.stop_token_ids
        text = self._codec.decode(ids[:-1] if closed else ids)
        raw = Message(role="assistant", content=text)
        if not closed:
            full = len(self.token_ids) >= self._max_context and self._budget > 0
            self.session.cut_off(raw, "context" if full else "token_budget")
            return
        try:
            message = self._codec.parse(ids, self.session.num_calls)
        except ToolCallSyntaxError:
            self.session.cut_off(raw, "malformed")
            return
        answers = self.session.reply(message)
        if self.session.stop_reason is None:
            self._continue(answers)

    def _continue(self, answers: Sequence[Message]) -> None:
        prompt = self._codec.encode_prompt(answers)
        if self._budget <= 0:
            self.session.stop_reason = "token_budget"
        elif len(self.token_ids) + len(prompt) >= self._max_context:
            self.session.stop_reason = "context"
        else:
            self.token_ids = self.token_ids + prompt
            self._segments.append(Segment(prompt, None))

    def finish(self, weights: str) -> Dialogue:
        """What came of it."""
        return close_session(self.session, weights, self._segments)
