"""Token corpora as samples: deterministic, packed, mixed by domain, readable at any index."""

from k2core.tokens.deal import Deal
from k2core.tokens.documents import DocumentIds, scan_ids, write_ids
from k2core.tokens.indexed import IndexedTokens, open_indexed
from k2core.tokens.permutation import Permutation
from k2core.tokens.stream import DocumentSpan, Share, TokenReading, TokenStream, Window

__all__ = [
    "Deal",
    "DocumentIds",
    "DocumentSpan",
    "IndexedTokens",
    "Permutation",
    "Share",
    "TokenReading",
    "TokenStream",
    "Window",
    "open_indexed",
    "scan_ids",
    "write_ids",
]
