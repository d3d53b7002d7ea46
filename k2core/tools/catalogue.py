"""The catalogue of MCP servers to harvest: which package, how it starts, under which licence."""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from schemas.base import Config

_FILE = Path(__file__).with_name("servers.yaml")
_PINS = "harvest.txt"
PERMISSIVE = ("MIT", "Apache-2.0", "BSD-3-Clause", "BSD-2-Clause", "ISC")


class ServerEntry(Config):
    """One server."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9\-]*$")
    """Its name here."""
    ecosystem: Literal["npm", "pypi"]
    """Where the package comes from."""
    package: str
    """The package's name there."""
    version: str
    """The exact version."""
    before: str
    """Day (YYYY-MM-DD) as of which npm resolves what the package depends on."""
    license: Literal["MIT", "Apache-2.0", "BSD-3-Clause", "BSD-2-Clause", "ISC"]
    """The package's licence; the installed one must say the same."""
    domain: str
    """Domain of tools whose own words name none."""
    command: tuple[str, ...] = Field(min_length=1)
    """Command with arguments; `{home}` is the installed package."""
    environment: Mapping[str, str] = Field(default_factory=dict)
    """Variables that it does not start without: credentials that open nothing."""
    pins: str = _PINS
    """File beside the constraints that pins what it depends on, where that differs from others."""
    tools: int | None = None
    """Tools that the author of the catalogue saw."""
    digest: str = ""
    """First 12 digits of their SHA-256."""

    @property
    def source(self) -> str:
        """Package with version."""
        return f"{self.package}=={self.version}"

    @property
    def key(self) -> str:
        """Identity of all that may change what is harvested."""
        plain = {"pins"} if self.pins == _PINS else set()
        text = self.model_dump_json(exclude={"tools", "digest", "domain", *plain})
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def read_catalogue(path: Path = _FILE) -> tuple[ServerEntry, ...]:
    """The servers in the file's order.

    Raises:
        ValueError: a field that is missing, unknown or wrong; names file, server and field.
    """
    stated = yaml.safe_load(path.read_text())
    entries = []
    for name, fields in stated["servers"].items():
        try:
            entry = ServerEntry.model_validate({"before": stated["before"], **fields, "name": name})
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise ValueError(f"{path.name}: server {name}: {field}: {first['msg']}") from None
        entries.append(entry)
    return tuple(entries)
