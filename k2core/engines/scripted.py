"""An engine that says what it is told: for unit tests only, never on the main path."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from k2core.engines.protocol import Arrival, Completion, Sampling
from k2core.model.digest import checkpoint_digest, tensors_digest

Reply = Callable[[list[int], Sampling], Sequence[int]]
"""What follows a prompt of token ids; should end with a stop token, else it counts as cut."""


class ScriptedEngine:
    """Implements `StreamingEngine` by a function; every token has probability 1/2.

    Args:
        reply: the continuation of a prompt; cut to the sampling's `max_tokens`.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._weights = tensors_digest({})
        self.prompts: list[list[int]] = []
        """Every prompt so far, in order."""

    @property
    def weights(self) -> str:
        """Digest of the last checkpoint; of none at the start."""
        return self._weights

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Sampling]
    ) -> list[Completion]:
        """Ask the function for each prompt."""
        return [arrival.completion for arrival in self.stream(prompts, sampling)]

    def stream(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Sampling]
    ) -> Iterator[Arrival]:
        """Ask the function for one prompt after another."""
        for index, (prompt, how) in enumerate(zip(prompts, sampling, strict=True)):
            self.prompts.append(list(prompt))
            tokens = list(self._reply(list(prompt), how))[: how.max_tokens]
            stopped = bool(tokens) and tokens[-1] in how.stop_token_ids
            reason = "stop" if stopped else "length"
            yield Arrival(index, Completion(tokens, [-math.log(2)] * len(tokens), reason))

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Every token but the first has probability 1/2."""
        return [[-math.log(2)] * (len(tokens) - 1) for tokens in sequences]

    def load(self, folder: Path) -> str:
        """Take note of the digest."""
        self._weights = checkpoint_digest(folder)
        return self._weights

    def close(self) -> None:
        """Nothing to free."""
