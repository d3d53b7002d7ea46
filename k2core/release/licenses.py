"""Every source of data with its licence, gathered from the artifacts that name their sources."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Source(NamedTuple):
    """One source as its artifact names it."""

    name: str
    license: str
    package: str
    version: str


def read_sources(folders: Iterable[Path]) -> list[Source]:
    """The sources of some artifacts, each once, by name.

    Raises:
        ValueError: a source without a licence, or with two; names the file and the source.
    """
    found: dict[str, Source] = {}
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
            found[name] = Source(
                name, license, str(about.get("package", "")), str(about.get("version", ""))
            )
    return [found[name] for name in sorted(found)]


def licenses_page(sources: list[Source]) -> str:
    """LICENSES.md."""
    rows = [f"| {s.name} | {s.license} | {s.package} | {s.version} |" for s in sources]
    return "\n".join(
        [
            "# Licences of the data",
            "",
            "What the model was trained on, by source. Texts keep their own licences; those under",
            "CC BY-SA ask for attribution and for the same licence on adaptations.",
            "",
            "| source | licence | package | version |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )
