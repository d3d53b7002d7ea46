"""Token corpora as samples: deterministic, packed, mixed by domain, readable at any index."""

from k2core.tokens.indexed import IndexedTokens, open_indexed
from k2core.tokens.stream import Reading, Sample, Share, Span, TokenStream

__all__ = ["IndexedTokens", "Reading", "Sample", "Share", "Span", "TokenStream", "open_indexed"]
