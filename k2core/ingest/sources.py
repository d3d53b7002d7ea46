"""The sources that installable packages offer."""

import re
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

from k2core.ingest.files import find_web_folder, list_modules, list_pages
from k2core.ingest.knowledge import PACKAGE, list_articles
from k2core.ingest.math import list_reasoning_gym, list_tables, list_worked
from k2core.ingest.source import Source, SourceError
from k2core.ingest.tool_specs import list_tool_specs
from schemas.ingest import IngestConfig

_PSF = "PSF-2.0"
_PYTHON = "Python Software Foundation"
_OWN_LICENSE = "Apache-2.0"
_OURS = "the authors of this pipeline"
_OWN = "2026.11.1"
"""Version of the generators in this package: bump when equal seeds would give other text."""


def list_sources(config: IngestConfig) -> list[Source]:
    """The sources that the config asks for; those with a count of 0 are left out."""
    half = config.num_math // 2
    python = python_version()
    sources = [
        (config.num_knowledge, _wikipedia),
        (config.num_web, lambda num: _documentation(config, num)),
        (
            config.num_code,
            lambda num: Source(
                "python-stdlib", "code", "text", _PSF, "python3.11", python, _PYTHON, num,
                list_modules,
            ),
        ),
        (
            config.num_tool_specs,
            lambda num: Source(
                "python-stdlib-tools", "code", "text", _PSF, "python3.11", python, _PYTHON, num,
                list_tool_specs,
            ),
        ),
        (half, _reasoning_gym),
        (
            config.num_math - half,
            lambda num: Source(
                "worked-arithmetic", "math", "text", _OWN_LICENSE, "k2core.ingest.worked", _OWN,
                _OURS, num, list_worked,
            ),
        ),
        (
            config.num_tables,
            lambda num: Source(
                "worked-tables", "math", "text", _OWN_LICENSE, "k2core.ingest.tables", _OWN,
                _OURS, num, list_tables,
            ),
        ),
    ]  # fmt: skip
    return [make(num) for num, make in sources if num]


def _wikipedia(num: int) -> Source:
    # Each document's path is the title of its article, where the authors are listed.
    return Source(
        PACKAGE, "knowledge", "text", "CC-BY-SA-4.0", PACKAGE, _installed(PACKAGE),
        "Wikipedia's authors, article by article", num, list_articles,
    )  # fmt: skip


def _reasoning_gym(num: int) -> Source:
    name = "reasoning-gym"
    return Source(
        name, "math", "text", "Apache-2.0", name, _installed(name), "the Open-Thought community",
        num, list_reasoning_gym,
    )  # fmt: skip


def _documentation(config: IngestConfig, num: int) -> Source:
    # Sphinx writes the version here, wherever the pages lie and however they came.
    options = find_web_folder(config) / "_static" / "documentation_options.js"
    text = options.read_text(encoding="utf-8") if options.is_file() else ""
    found = re.search(r"VERSION: '([^']+)'", text)
    name = "python3.11-doc"
    return Source(
        name, "web", "html", _PSF, name, found[1] if found else "unknown", _PYTHON, num, list_pages
    )


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError as error:
        raise SourceError(f"{package} is not installed: pip install {package}") from error
