"""What a grammar let the policy say at each token, for a trainer that renormalises over the same.

Under the enforcer an engine samples from what the grammar left of the vocabulary, and its log p is
of that. The policy that is trained is the model under the enforcer, so pi has to be of it too; how
much the whole vocabulary gave the tokens that were left says nothing of what was chosen among them.
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from k2core.agents import Dialogue

if TYPE_CHECKING:
    from llguidance import LLMatcher


class MaskError(RuntimeError):
    """A token that the grammar of its turn does not allow was sampled; says which."""


class TurnMasks:
    """Gives each turn's grammar again, as the engine's backend does.

    Args:
        folder: of the tokenizer that the engine serves with.
        vocab_size: the model's.
    """

    def __init__(self, folder: Path, vocab_size: int) -> None:
        from llguidance.hf import from_tokenizer
        from transformers import PreTrainedTokenizerFast

        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        self._tokenizer = from_tokenizer(tokenizer, max(vocab_size, len(tokenizer)))
        self._width = math.ceil(vocab_size / 8)
        self._known: dict[bytes, bytes] = {}
        """Equal masks are one object: a state of a grammar comes again and again."""
        self._start = lru_cache(1024)(self._compile)

    def of(self, dialogue: Dialogue) -> list[bytes]:
        """Of each token: a bit for each of the vocabulary, lowest first; empty where all may be.

        Raises:
            MaskError: the dialogue was not sampled under the grammars that it names.
        """
        found: list[bytes] = []
        for segment in dialogue.segments:
            if not segment.grammar:
                found += [b""] * len(segment.token_ids)
                continue
            state = self._start(segment.grammar).deep_copy()
            for place, token in enumerate(segment.token_ids):
                mask = state.compute_bitmask()[: self._width]
                found.append(self._known.setdefault(mask, mask))
                if not mask[token // 8] >> token % 8 & 1 or not state.consume_token(token):
                    raise MaskError(
                        f"{dialogue.problem.problem_id}: token {token}, {place} tokens into a turn,"
                        f" is not of its grammar: does the engine's tokenizer differ?"
                    )
        return found

    def _compile(self, grammar: str) -> "LLMatcher":
        from llguidance import LLMatcher, grammar_from

        state = LLMatcher(self._tokenizer, grammar_from("grammar", grammar))
        if fault := state.get_error():
            raise MaskError(f"no grammar: {fault}")
        return state
