"""Token corpora as samples: deterministic, packed, mixed by domain, readable at any index."""

from k2core.tokens.deal import Deal
from k2core.tokens.documents import DocumentIds, scan_ids, write_ids
from k2core.tokens.indexed import (
    BYTES_A_DOCUMENT,
    IndexedTokens,
    open_indexed,
    token_type,
    write_index,
    write_indexed,
)
from k2core.tokens.parts import PartedTokens, read_manifest
from k2core.tokens.permutation import Permutation
from k2core.tokens.stream import DocumentSpan, Share, TokenReading, TokenStream, Window

__all__ = [
    "BYTES_A_DOCUMENT",
    "Deal",
    "DocumentIds",
    "DocumentSpan",
    "IndexedTokens",
    "PartedTokens",
    "Permutation",
    "Share",
    "TokenReading",
    "TokenStream",
    "Window",
    "open_indexed",
    "read_manifest",
    "scan_ids",
    "token_type",
    "write_ids",
    "write_index",
    "write_indexed",
]
