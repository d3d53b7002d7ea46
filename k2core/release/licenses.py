"""Every source of data with its licence, gathered from the artifacts that name their sources."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple


class LicensedSource(NamedTuple):
    """One source as its artifact names it."""

    name: str
    license: str
    package: str = ""
    version: str = ""
    gives: str = ""
    """What the models learned from it, e.g. `knowledge, 6,000 documents`."""
    credit: str = ""
    """Who wrote it, where the source says so."""


def read_sources(folders: Iterable[Path]) -> list[LicensedSource]:
    """The sources of some artifacts, each once, by name.

    Raises:
        ValueError: a source without a licence, or with two; names the file and the source.
    """
    found: dict[str, LicensedSource] = {}
    for folder in folders:
        path = folder / "sources.json"
        for name, about in json.loads(path.read_text()).items():
            if not about.get("license"):
                raise ValueError(f"{path}: source {name!r} has no license")
            license = about["license"]
            if name in found and found[name].license != license:
                raise ValueError(
                    f"{path}: source {name!r} is under {license}; before, {found[name].license}"
                )
            found[name] = LicensedSource(
                name,
                license,
                str(about.get("package", "")),
                str(about.get("version", "")),
                _gives(about),
                str(about.get("credit", "")),
            )
    return [found[name] for name in sorted(found)]


def _gives(about: Mapping[str, object]) -> str:
    """Its domain or role, and how much of it; a model that rewrote has no documents."""
    counts = [f"{n:,} {what}" for what in ("documents", "tools") if (n := about.get(what))]
    return ", ".join([str(about.get("domain") or about.get("role") or "weights"), *counts])


def sources_table(sources: Iterable[LicensedSource]) -> str:
    """A row a source: what it gave, under which licence, and whom to credit."""
    rows = [
        f"| {s.name} | {s.gives} | {s.license} | {s.credit} | {' '.join((s.package, s.version))} |"
        for s in sources
    ]
    head = ["| source | gives | licence | credit | package |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def licenses_page(sources: list[LicensedSource]) -> str:
    """LICENSES.md."""
    return "\n".join(
        [
            "# Licences of the data",
            "",
            "What the model was trained on, by source. Texts keep their own licences; those under",
            "CC BY-SA ask for attribution and for the same licence on adaptations.",
            "",
            sources_table(sources),
            "",
        ]
    )
