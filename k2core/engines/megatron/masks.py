"""Logits of the tokens that a grammar let an engine sample; the others have no probability."""

from typing import NamedTuple

import torch
from megatron.core import parallel_state
from torch import Tensor

from k2core.engines.megatron.context import take_own
from k2core.engines.megatron.micro import MicroBatch

_BITS = 8


class TokenMasks(NamedTuple):
    """What may stand at each place of a micro-batch, of this rank's tokens of its rows."""

    places: Tensor
    """[B, S] the row of `table` that holds for a label."""
    table: Tensor
    """As `Batch.masks`."""

    def hold(self, logits: Tensor, place: Tensor) -> Tensor:
        """Logits [..., v] of this rank's part of the vocabulary, -inf where it is forbidden.

        Args:
            logits: of the output layer.
            place: [...] of each, out of `places`.
        """
        width = logits.size(-1)
        start = parallel_state.get_tensor_model_parallel_rank() * width
        stop = start + width
        octets = self.table[:, start // _BITS : -(-stop // _BITS)][place]  # ... v/8
        bits = 1 << torch.arange(_BITS, dtype=torch.uint8, device=octets.device)
        forbidden = (octets[..., None] & bits).eq(0).flatten(-2)
        first = start % _BITS
        return logits.masked_fill(forbidden[..., first : first + width], -torch.inf)


def masks_of(part: MicroBatch) -> TokenMasks | None:
    """A micro-batch's, for this rank's chunks of its rows; None where everything may be said."""
    if part.real.masks is None:
        return None
    given = part.real.extra["mask"]
    place = given.new_zeros(part.padded.tokens.shape)
    place[: len(given), : given.size(1)] = given
    return TokenMasks(take_own(place, 1), part.real.masks.to(given.device))
