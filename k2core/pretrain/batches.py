"""Samples as batches, and the documents in them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from k2core.training import BatchDocument

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import Batch
    from k2core.tokens import DocumentIds, TokenStream


def read_batch(stream: "TokenStream", samples: Iterable[int]) -> "Batch":
    """Rows of inputs and next tokens; a document's last token predicts nothing.

    There may be none: more ranks than rows.
    """
    import torch

    from k2core.engines.megatron.batch import Batch

    rows = [stream.sample(index) for index in samples]
    shape = len(rows), stream.sequence_length + 1
    tokens = torch.from_numpy(np.array([row.tokens for row in rows], np.int64).reshape(shape))
    segments = torch.from_numpy(np.array([row.segments for row in rows], np.int64).reshape(shape))
    within = segments[:, :-1] == segments[:, 1:]
    return Batch(tokens[:, :-1], tokens[:, 1:], within.float(), segments[:, :-1])


def name_spans(stream: "TokenStream", samples: Iterable[int]) -> list[BatchDocument]:
    """The documents of these samples, or the parts of them that a row holds."""
    found: list[BatchDocument] = []
    ids: dict[str, DocumentIds] = {}
    for row, index in enumerate(samples):
        domain = stream.domain_of(index)
        names = ids.setdefault(domain, stream.document_ids(domain))
        found += [
            BatchDocument(row, f"{domain}/{names[span.row]}", span.start, span.length)
            for span in stream.trace(index)
        ]
    return found
