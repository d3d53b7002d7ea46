"""What is kept: extraction, language, quality, repetition, privacy, contamination, duplicates."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from schemas.base import Config
from schemas.corpus import DOMAINS, DomainName
from schemas.selection import Classifier, CodeRules, Sampling, UrlRules

LanguageCode = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class Quality(Config):
    """Gopher's quality filter (arXiv:2112.11446, table A1).

    Words are spaCy's (`k2core.clean.words`), as FineWeb counts.
    """

    min_words: int = Field(50, ge=0)
    """Fewest words, without those that are signs only."""
    max_words: int = Field(100_000, ge=1)
    """Most words."""
    min_mean_word_length: float = Field(3.0, ge=0)
    """Shortest mean word length, in characters."""
    max_mean_word_length: float = Field(10.0, gt=0)
    """Longest mean word length, in characters."""
    max_symbol_word_ratio: float = Field(0.1, ge=0)
    """Most hash signs, and most ellipses, a word."""
    max_bullet_lines_frac: float = Field(0.9, ge=0, le=1)
    """Largest share of lines that start with a bullet."""
    max_ellipsis_lines_frac: float = Field(0.3, ge=0, le=1)
    """Largest share of lines that end with an ellipsis."""
    min_alphabetic_words_frac: float = Field(0.8, ge=0, le=1)
    """Smallest share of words with a letter in them."""
    min_stop_words: int = Field(2, ge=0, le=8)
    """Fewest different words of: the, be, to, of, and, that, have, with; in another language than
    English of `stopwordsiso`'s list, where it has one."""


class Repetition(Config):
    """Gopher's repetition filter (arXiv:2112.11446, table A1): the largest shares allowed."""

    max_duplicate_lines_frac: float = Field(0.30, ge=0, le=1)
    """Lines that occurred before."""
    max_duplicate_paragraphs_frac: float = Field(0.30, ge=0, le=1)
    """Paragraphs that occurred before."""
    max_duplicate_line_characters_frac: float = Field(0.20, ge=0, le=1)
    """Characters in such lines."""
    max_duplicate_paragraph_characters_frac: float = Field(0.20, ge=0, le=1)
    """Characters in such paragraphs."""
    max_top_ngram_frac: tuple[float, ...] = (0.20, 0.18, 0.16)
    """Characters in the most frequent 2-, 3-, 4-gram."""
    max_duplicate_ngrams_frac: tuple[float, ...] = (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)
    """Characters in 5-, 6-, .. 10-grams that occurred before."""


class C4(Config):
    """C4's rules (arXiv:1910.10683, section 2.2): lines are removed, then whole pages."""

    end_marks: bool = True
    """Remove lines that do not end in . ? ! or a quotation mark; FineWeb leaves this out."""
    min_words_per_line: int = Field(3, ge=0)
    """Remove shorter lines."""
    max_word_length: int = Field(1000, ge=1)
    """Remove lines with a longer word, in characters."""
    remove_citations: bool = True
    """Remove [1], [edit] and [citation needed] from the text."""
    min_sentences: int = Field(5, ge=0)
    """Drop pages with fewer sentences in the lines that are left."""


class FineWeb(Config):
    """FineWeb's own rules (arXiv:2406.17557, section 3.6)."""

    min_ended_lines_frac: float = Field(0.12, ge=0, le=1)
    """Smallest share of lines that end in a sentence's end mark."""
    max_short_lines_frac: float = Field(0.67, ge=0, le=1)
    """Largest share of short lines."""
    short_line_characters: int = Field(30, ge=0)
    """A line of so many characters is short."""
    max_duplicate_line_characters_frac: float = Field(0.01, ge=0, le=1)
    """Largest share of characters in lines that occurred before."""
    max_line_breaks_word_ratio: float = Field(0.3, ge=0)
    """Most line breaks a word: beyond it a page is a list."""


class DomainRules(Config):
    """Which rules a domain is held to."""

    language: bool = True
    """Ask for the language."""
    quality: Quality | None = Quality()
    """Gopher's quality rules; none where words are not prose."""
    repetition: Repetition | None = Repetition()
    """Gopher's repetition rules; none where repetition is the matter itself."""
    c4: C4 | None = None
    """C4's rules, for prose: a page with a curly bracket goes."""
    fineweb: FineWeb | None = None
    """FineWeb's own rules, on the lines that C4's leave."""
    code: CodeRules | None = None
    """BigCode's rules, for files of code."""
    near_duplicates: bool = True
    """Drop near-duplicates; exact ones always go."""


class RepeatedPassages(Config):
    """Exact copies of passages across documents (CCNet, arXiv:1911.00359, section 3.1).

    As there, passages are compared in lower case, without accents and punctuation, digits as 0. Off
    by default: FineWeb found that it costs more than it gains (arXiv:2406.17557, section 3.5).
    """

    unit: Literal["line", "paragraph"] = "paragraph"
    """What is compared: lines, or what blank lines part."""
    min_characters: int = Field(80, ge=1)
    """Shorter passages may repeat: headings and lines of code do, and mean something each time."""
    max_removed_frac: float = Field(0.5, gt=0, le=1)
    """A document of which a larger share would be removed goes as a whole."""
    domains: tuple[str, ...] = ("knowledge", "web")
    """Domains that lose passages that stood in an earlier document of any of them."""


class SemanticDuplicates(Config):
    """Documents that say the same in other words (SemDeDup, arXiv:2303.09540, section 3).

    Of those that neither digest nor MinHash parted, in domains that ask for near-duplicates.
    """

    min_cosine: float = Field(0.97, gt=0, le=1)
    """Cosine of embeddings (multilingual E5) from which the later document goes."""
    max_characters: int = Field(1500, ge=1)
    """Characters from a document's start that are embedded; the model reads 512 tokens."""
    cluster_documents: int = Field(1000, ge=1)
    """Documents of a k-means cluster on average; only those of one are compared."""
    seed: int = Field(0, ge=0)
    """Seed of the clusters' first centres."""


class Deduplication(Config):
    """MinHash over word n-grams, in bands (arXiv:2107.06499, section 4.2)."""

    ngram: int = Field(5, ge=1)
    """Words of a shingle."""
    num_bands: int = Field(14, ge=1)
    """Bands of the signature; documents that agree in one are compared."""
    num_rows: int = Field(8, ge=1)
    """Hashes of a band."""
    min_similarity: float = Field(0.75, gt=0, le=1)
    """Estimated Jaccard similarity from which one of two documents goes."""
    prefer: tuple[Literal["source", "language", "length"], ...] = ("source", "language", "length")
    """Which of copies stays: by what counts first. Of the source by `sources`, of the language the
    surer one (in tenths), of the length the longer; what these leave open, the corpus' order."""
    sources: tuple[str, ...] = ()
    """Names of sources, the one to prefer first; those that are not named come last, alike."""
    passages: RepeatedPassages | None = None
    """Remove lines or paragraphs that stood before; none: do not look for them."""
    semantic: SemanticDuplicates | None = None
    """Drop what says the same in other words; none: do not embed anything."""


class Decontamination(Config):
    """Overlap with the problems that the models are evaluated on."""

    ngram: int = Field(13, ge=1)
    """Tokens (words, and each sign) of a matching run (arXiv:2005.14165, appendix C)."""
    min_tokens: int = Field(5, ge=1)
    """Problems shorter than `ngram` match as a whole, from this length on."""
    max_problems: int = Field(3, ge=1)
    """A run that more held-out problems share is their template, and no evidence."""


class CleanConfig(Config):
    """Rules by domain, in the order in which they run. Defaults are Gopher's where it has any."""

    exclude: tuple[str, ...] = ()
    """Ids of documents to drop, text and all, whatever the rules say: what was to be forgotten."""
    languages: tuple[LanguageCode, ...] = Field(("en",), min_length=1)
    """Languages to keep, as ISO 639 codes; a document's stop words, lengths of words and their ends
    are those of the one that it is likeliest in."""
    min_language_score: float = Field(0.3, ge=0, le=1)
    """Least probability of that language; code in a page lowers it, another language to 0."""
    max_foreign_frac: float = Field(0.5, ge=0, le=1)
    """Paragraphs surely in another language are cut out; a document of which that is a larger share
    goes as a whole, as half-translated pages do."""
    knowledge: DomainRules = DomainRules(
        quality=Quality(min_words=20, min_alphabetic_words_frac=0.65)
    )
    """Encyclopedia leads are short, and dates and brackets count as words here."""
    web: DomainRules = DomainRules(
        quality=Quality(min_alphabetic_words_frac=0.6),
        repetition=Repetition(max_duplicate_ngrams_frac=(0.30, 0.28, 0.26, 0.24, 0.22, 0.20)),
    )
    """Technical pages hold code and repeat its names."""
    code: DomainRules = DomainRules(language=False, quality=None, repetition=None)
    """Neither words nor their repetition say much about code."""
    math: DomainRules = DomainRules(
        language=False, quality=None, repetition=None, near_duplicates=False
    )
    """Generated from templates: near-duplicates by design, exact ones not."""
    domains: dict[DomainName, DomainRules | Literal["knowledge", "web", "code", "math"]] = Field({})
    """Rules of your own domains: a set of rules, or the name of one that has the same. A domain
    that is not named is held to the rules of `web`."""
    urls: UrlRules | None = None
    """Block lists of domains, addresses and words, for documents with an address."""
    classifier: Classifier | None = None
    """Train a quality classifier on the corpus, score documents with it and drop the lowest."""
    sampling: Sampling | None = None
    """Keep documents of low score more rarely, and have those of high score read more often."""
    min_characters: int = Field(20, ge=1)
    """Shorter texts are empty, in every domain."""
    deduplication: Deduplication = Deduplication()
    """How near is a near-duplicate."""
    decontamination: Decontamination = Decontamination()
    """How much overlap with a held-out problem is too much."""
    shard_documents: int = Field(4000, ge=1)
    """Raw documents of one parquet shard of decisions; those kept and rejected of them are beside
    it. However the raw corpus was cut, these shards are the same."""
    shard_bytes: int = Field(64_000_000, ge=1)
    """Bytes of text from which such a shard is full: what is held at a time."""
    num_reject_samples: int = Field(3, ge=0)
    """Rejects of each reason shown in the report."""

    def rules_for(self, domain: str) -> DomainRules:
        """The rules of a domain."""
        own = {name: getattr(self, name) for name in DOMAINS}
        found = self.domains.get(domain, domain)
        rules: DomainRules = own.get(found, self.web) if isinstance(found, str) else found
        return rules

    @field_validator("domains")
    @classmethod
    def _are_new(cls, domains: dict[str, object]) -> dict[str, object]:
        if known := sorted(domains.keys() & set(DOMAINS)):
            raise ValueError(f"{known[0]!r} has rules of its own: write them in clean.{known[0]}")
        return domains
