"""A vLLM engine, step by step: sequences come in and leave while others run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from k2core.engines.protocol import Arrival, Ask, Completion, Decoding

if TYPE_CHECKING:
    from vllm import LLM, SamplingParams

_LONGEST_CYCLE = 32
"""Tokens that count as repeated when they follow one another again and again."""


class _Chance(Protocol):
    """vLLM's `Logprob`."""

    logprob: float


class _New(Protocol):
    """vLLM's `CompletionOutput`, of the tokens since the last."""

    token_ids: Sequence[int]
    logprobs: Sequence[Mapping[int, _Chance]]


class VllmStepper:
    """A `k2core.engines.conversation.Stepper`.

    Args:
        llm: vLLM's `LLM`; nothing else runs on it meanwhile.
        halts: it may be halted, so tokens are taken one by one; else a turn's at its end, which
            spares vLLM's loop an output for each token.
    """

    def __init__(self, llm: "LLM", *, halts: bool) -> None:
        self._whole = not halts
        self._numbers, self._engine = llm.request_counter, llm.llm_engine
        self._written: dict[str, _Written] = {}
        """Request -> its dialogue, and what was written so far."""
        self._tokens = 0

    def add(self, ask: Ask) -> None:
        """Begin a sequence."""
        name = str(next(self._numbers))
        prompt = {"prompt_token_ids": list(ask.prompt)}
        inner = self._engine.add_request(
            name, prompt, sampling_params(ask.sampling, whole=self._whole)
        )
        self._written[name] = _Written(ask.place, inner or name)

    def step(self) -> list[Arrival]:
        """One token of each."""
        arrivals = []
        for output in self._engine.step():
            written, new = self._written[output.request_id], output.outputs[0]
            written.take(new)
            self._tokens += len(new.token_ids)
            if output.finished:
                del self._written[output.request_id]
                arrivals.append(written.arrive(str(new.finish_reason)))
        return sorted(arrivals)

    def count(self) -> int:
        """Tokens made so far."""
        return self._tokens

    def halt(self) -> list[Arrival]:
        """Drop all sequences."""
        left, self._written = list(self._written.values()), {}
        if left:
            self._engine.abort_request([written.name for written in left], internal=True)
        return sorted(written.arrive("paused") for written in left)


class _Written:
    """A sequence while it runs."""

    def __init__(self, place: int, name: str) -> None:
        self.place, self.name = place, name
        self._ids: list[int] = []
        self._logprobs: list[float] = []

    def take(self, new: _New) -> None:
        """More of it."""
        tokens = list(new.token_ids)
        found = zip(tokens, new.logprobs, strict=True)
        self._ids += tokens
        self._logprobs += [about[token].logprob for token, about in found]

    def arrive(self, reason: str) -> Arrival:
        """As it is."""
        return Arrival(self.place, Completion(self._ids, self._logprobs, reason))


def sampling_params(sampling: Decoding, *, whole: bool = True) -> "SamplingParams":
    """In vLLM's words; with a grammar log p is of what the grammar left.

    Args:
        sampling: what is wanted.
        whole: each answer holds all tokens so far; else only the new ones.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import (
        RepetitionDetectionParams,
        RequestOutputKind,
        StructuredOutputsParams,
    )

    times = sampling.max_repeats
    grammar = StructuredOutputsParams(grammar=sampling.grammar) if sampling.grammar else None
    return SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        stop_token_ids=list(sampling.stop_token_ids),
        logprobs=0,
        detokenize=False,
        structured_outputs=grammar,
        repetition_detection=RepetitionDetectionParams(_LONGEST_CYCLE, 1, times) if times else None,
        output_kind=RequestOutputKind.FINAL_ONLY if whole else RequestOutputKind.DELTA,
    )
