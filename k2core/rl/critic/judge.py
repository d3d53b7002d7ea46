"""The policy as a critic: which of two answers it says is the better one, and how surely."""

import math
from collections.abc import Callable, Sequence

from k2core.critic import GRAMMAR, LETTERS, OrderedPair, Template
from k2core.engines.protocol import Completion, Decoding, Engine

Prefer = Callable[[Sequence[OrderedPair]], list[float | None]]
"""For each comparison P(the first is better); None where the critic says neither."""


class EngineCritic:
    """A `Prefer` by whatever weights an engine serves.

    It says one letter, greedily and by a grammar of the two letters, so that its log p is of these.

    Args:
        engine: of the rollouts.
        template: what it is shown.
        max_context: most tokens that the engine can hold; of longer comparisons it says nothing.
    """

    def __init__(self, engine: Engine, template: Template, max_context: int) -> None:
        self._engine, self._template, self._max_context = engine, template, max_context

    def __call__(self, comparisons: Sequence[OrderedPair]) -> list[float | None]:
        """Ask about all of them in one batch."""
        prompts = [self._template.encode_prompt(comparison) for comparison in comparisons]
        fitting = [n for n, prompt in enumerate(prompts) if len(prompt) < self._max_context]
        if not fitting:
            return [None] * len(comparisons)
        how = Decoding(max_tokens=1, temperature=0.0, grammar=GRAMMAR)
        said = self._engine.generate([prompts[n] for n in fitting], [how] * len(fitting))
        found: list[float | None] = [None] * len(comparisons)
        for place, completion in zip(fitting, said, strict=True):
            found[place] = self._read(completion)
        return found

    def _read(self, completion: Completion) -> float | None:
        letter = self._template.read_letter(completion.token_ids)
        if letter is None or not completion.logprobs or not math.isfinite(completion.logprobs[0]):
            return None
        sure = min(1.0, math.exp(min(0.0, completion.logprobs[0])))
        return sure if letter == LETTERS[0] else 1.0 - sure
