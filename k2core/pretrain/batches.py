"""Samples as batches."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import Batch
    from k2core.tokens import TokenStream


def read_batch(stream: "TokenStream", samples: Iterable[int]) -> "Batch":
    """Rows of inputs and next tokens; a document's last token predicts nothing."""
    import torch

    from k2core.engines.megatron.batch import Batch

    rows = [stream.sample(index) for index in samples]
    tokens = torch.from_numpy(np.stack([row.tokens for row in rows]))  # b s+1
    segments = torch.from_numpy(np.stack([row.segments for row in rows]))
    within = segments[:, :-1] == segments[:, 1:]
    return Batch(tokens[:, :-1], tokens[:, 1:], within.float(), segments[:, :-1])
