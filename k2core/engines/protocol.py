"""What any text generator promises: tokens in, tokens and their log-probabilities out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class Sampling(NamedTuple):
    """How to continue a prompt."""

    max_tokens: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    grammar: str = ""
    """What may be said, as `k2core.chat.turn_grammar` writes it; empty lets everything be said."""


class Completion(NamedTuple):
    """One continuation: the new tokens only (a stop token included), and log p of each.

    Log p is of the distribution that was sampled from, after temperature and top_p (greedily: the
    model's own); the model's end-of-text tokens stop a continuation as `stop_token_ids` do.
    """

    token_ids: list[int]
    logprobs: list[float]
    finish_reason: str
    """`stop` or `length`."""


class Arrival(NamedTuple):
    """A prompt's continuation that has just been finished."""

    place: int
    """Of the prompt among those that were given."""
    completion: Completion


class Engine(Protocol):
    """A model being served. `weights` is the digest of what it serves right now."""

    @property
    def weights(self) -> str:
        """`sha256:...` of the served weights (`tensors_digest`): the receipt on each rollout."""

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Sampling]
    ) -> list[Completion]:
        """Continue each prompt of token ids under its own sampling; order is kept."""

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log p of every token but the first, given those before it; for perplexities."""

    def load(self, folder: Path) -> str:
        """Serve a checkpoint of the same shape from now on; returns its digest."""

    def close(self) -> None:
        """Stop serving and free the memory."""


class StreamingEngine(Engine, Protocol):
    """An engine that hands over each continuation when it is finished, not all at the end."""

    def stream(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Sampling]
    ) -> Iterator[Arrival]:
        """Continue all prompts in one batch, as `generate` does; yields them as they finish."""
