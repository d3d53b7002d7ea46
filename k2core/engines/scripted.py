"""An engine that says what it is told: for unit tests only, never on the main path."""

import math
from collections.abc import Callable, Iterator, Sequence

from k2core.engines.conversation import Conversation
from k2core.engines.protocol import Arrival, Ask, Completion, Decoding, Model, find_folder
from k2core.model.digest import checkpoint_digest, tensors_digest

Reply = Callable[[list[int], Decoding], Sequence[int]]
"""What follows a prompt of token ids; should end with a stop token, else it counts as cut."""


class ScriptedEngine:
    """A streaming and talking engine by a function; every token has probability 1/2.

    Args:
        reply: the continuation of a prompt; cut to the sampling's `max_tokens`.
        slots: sequences in flight together, in dialogues.
    """

    def __init__(self, reply: Reply, slots: int = 256) -> None:
        self._reply, self._slots = reply, slots
        self._weights = tensors_digest({})
        self.prompts: list[list[int]] = []
        """Every prompt so far, in order."""

    @property
    def weights(self) -> str:
        """Digest of the last checkpoint; of none at the start."""
        return self._weights

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Decoding]
    ) -> list[Completion]:
        """Ask the function for each prompt."""
        return [arrival.completion for arrival in self.stream(prompts, sampling)]

    def stream(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Decoding]
    ) -> Iterator[Arrival]:
        """Ask the function for one prompt after another."""
        for index, (prompt, how) in enumerate(zip(prompts, sampling, strict=True)):
            self.prompts.append(list(prompt))
            tokens = list(self._reply(list(prompt), how))[: how.max_tokens]
            stopped = bool(tokens) and tokens[-1] in how.stop_token_ids
            reason = "stop" if stopped else "length"
            if length := _first_repeat(tokens, how.max_repeats):
                tokens, reason = tokens[:length], "repetition"
            yield Arrival(index, Completion(tokens, [-math.log(2)] * len(tokens), reason))

    def converse(self, first: Sequence[Ask], most_tokens: int | None = None) -> Conversation:
        """Ask the function for each turn when it has a slot; a step says a token of each."""
        return Conversation(ScriptedStepper(self), first, self._slots, most_tokens)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Every token but the first has probability 1/2."""
        return [[-math.log(2)] * (len(tokens) - 1) for tokens in sequences]

    def load(self, model: Model) -> str:
        """Take note of the digest."""
        self._weights = checkpoint_digest(find_folder(model))
        return self._weights

    def close(self) -> None:
        """Nothing to free."""


class ScriptedStepper:
    """A token of each sequence at a time, as an engine does it."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self._engine = engine
        self._left: dict[int, Completion] = {}
        self._said: dict[int, int] = {}
        self._tokens = 0

    def add(self, ask: Ask) -> None:
        """What it will say is known."""
        (self._left[ask.place],) = self._engine.generate([ask.prompt], [ask.sampling])
        self._said[ask.place] = 0

    def step(self) -> list[Arrival]:
        """One token of each."""
        for place in self._left:
            self._said[place] += 1
        self._tokens += len(self._left)
        ended = [p for p, c in self._left.items() if self._said[p] >= len(c.token_ids)]
        return [Arrival(place, self._left.pop(place)) for place in sorted(ended)]

    def count(self) -> int:
        """Tokens made so far."""
        return self._tokens

    def halt(self) -> list[Arrival]:
        """As far as each has come."""
        halted, self._left = sorted(self._left.items()), {}
        return [Arrival(place, _begun(said, self._said[place])) for place, said in halted]


def _begun(said: Completion, count: int) -> Completion:
    return Completion(said.token_ids[:count], said.logprobs[:count], "paused")


def _first_repeat(tokens: Sequence[int], times: int) -> int:
    """Where the same token has come so often in a row; 0 if it never has."""
    ends = range(times, len(tokens) + 1) if times else ()
    return next((end for end in ends if len({*tokens[end - times : end]}) == 1), 0)
