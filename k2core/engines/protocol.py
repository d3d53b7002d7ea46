"""What any text generator promises: tokens in, tokens and their log-probabilities out."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

Model = Path | Callable[[], Path]
"""A folder in the Hugging Face layout that each node sees, or what brings it to a node; picklable.
"""


def find_folder(model: Model) -> Path:
    """Where a model is on this machine."""
    return model if isinstance(model, Path) else model()


class Decoding(NamedTuple):
    """How to continue a prompt."""

    max_tokens: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    grammar: str = ""
    """What may be said, as `k2core.chat.turn_grammar` writes it; empty lets everything be said."""
    max_repeats: int = 0
    """Times that the same few tokens may follow one another before the engine stops; 0: any."""


class Completion(NamedTuple):
    """One continuation: the new tokens only (a stop token included), and log p of each.

    Log p is of the distribution that was sampled from, after temperature and top_p (greedily: the
    model's own); the model's end-of-text tokens stop a continuation as `stop_token_ids` do.
    """

    token_ids: list[int]
    logprobs: list[float]
    finish_reason: str
    """`stop`, `length`, `repetition`, or `paused` where a conversation was halted before."""


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
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Decoding]
    ) -> list[Completion]:
        """Continue each prompt of token ids under its own sampling; order is kept."""

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log p of every token but the first, given those before it; for perplexities."""

    def load(self, model: Model) -> str:
        """Serve a checkpoint of the same shape from now on; returns its digest."""

    def close(self) -> None:
        """Stop serving and free the memory."""


class StreamingEngine(Engine, Protocol):
    """An engine that hands over each continuation when it is finished, not all at the end."""

    def stream(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Decoding]
    ) -> Iterator[Arrival]:
        """Continue all prompts in one batch, as `generate` does; yields them as they finish."""


class Forecast(NamedTuple):
    """Tokens that a dialogue will write, judged by its like."""

    mean: int
    most: int
    """Few of its like wrote more."""

    def after(self, written: int, limit: int) -> "Forecast":
        """What is still to come, of which there is at least one token and at most `limit`."""
        return Forecast(*(max(1, min(tokens - written, limit)) for tokens in self))


class Ask(NamedTuple):
    """A turn of a dialogue that is wanted."""

    place: int
    """The dialogue, by a number."""
    prompt: Sequence[int]
    sampling: Decoding
    turn: int = 0
    """How many it has had: later ones go first, so that dialogues end that have begun."""
    known: Forecast | None = None
    """Tokens that the dialogue will write from here on; None where nobody knows."""

    @property
    def expected(self) -> Forecast:
        """As is known, or all that it may write."""
        return self.known or Forecast(self.sampling.max_tokens, self.sampling.max_tokens)


class Usage(NamedTuple):
    """What dialogues took of engines."""

    busy_s: float = 0.0
    """Slot-seconds in which a dialogue was there, but for those in which the engine stood still."""
    slot_s: float = 0.0
    """Slot-seconds in all: of the slots that there was a dialogue for at the start."""
    seconds: float = 0.0
    """From the first turn to the last."""
    waited_s: float = 0.0
    """Seconds in which an engine stood still for a reply."""
    tools_s: float = 0.0
    """That environments took, those side by side added up."""
    tokens: int = 0
    """That were made."""
    steps: int = 0
    """Of the engine; of several the most."""
    late: int = 0
    """Turns that the engine did not wait for: what it batched then depends on the clock."""

    @property
    def slot_use(self) -> float:
        """Share of the slot-seconds in which a dialogue was there and the engine at work."""
        return self.busy_s / self.slot_s if self.slot_s else 0.0

    def then(self, later: "Usage") -> "Usage":
        """Of both, one after the other."""
        return Usage(
            self.busy_s + later.busy_s,
            self.slot_s + later.slot_s,
            self.seconds + later.seconds,
            self.waited_s + later.waited_s,
            self.tools_s + later.tools_s,
            self.tokens + later.tokens,
            self.steps + later.steps,
            self.late + later.late,
        )

    @classmethod
    def side_by_side(cls, usages: "Sequence[Usage]") -> "Usage":
        """Of engines that began together: the slots of those that ended first stay empty."""
        longest = max((u.seconds for u in usages), default=0.0)
        return cls(
            busy_s=sum(u.busy_s for u in usages),
            slot_s=sum(u.slot_s / u.seconds * longest for u in usages if u.seconds),
            seconds=longest,
            waited_s=max((u.waited_s for u in usages), default=0.0),
            tools_s=sum(u.tools_s for u in usages),
            tokens=sum(u.tokens for u in usages),
            steps=max((u.steps for u in usages), default=0),
            late=sum(u.late for u in usages),
        )


class StalledError(RuntimeError):
    """Nothing moved for too long; says what was waited for."""


class Talk(Protocol):
    """Turns of many dialogues, asked for and answered without a barrier between them."""

    def __iter__(self) -> Iterator[Arrival]:
        """Each turn when it is finished; ends when every dialogue was left.

        Raises:
            StalledError: an arrival was not replied to for a long time.
        """

    def reply(self, place: int, ask: Ask | None) -> None:
        """What follows an arrival: the dialogue's next turn, or nothing; from any thread."""

    @property
    def usage(self) -> Usage:
        """Once it has ended."""


class TalkingEngine(Engine, Protocol):
    """An engine that takes up a dialogue's next turn as soon as it is asked for."""

    def converse(self, first: Sequence[Ask], most_tokens: int | None = None) -> Talk:
        """Begin dialogues.

        Args:
            first: the first turn of each.
            most_tokens: halt when so many were made: what is unfinished then arrives as it is,
                `paused`, and no reply follows.
        """
