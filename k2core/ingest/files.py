"""Web and code: files of a folder, HTML pages and Python modules."""

import os
import sys
import sysconfig
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from k2core.ingest.source import Item, SourceError
from schemas.ingest import WEB_DOCS_ENV, IngestConfig

_CODE_LEFT_OUT = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idle_test",
    "lib2to3",
    "pydoc_data",
    "encodings",
    "__pycache__",
}
_PAGES_LEFT_OUT = ("genindex", "search", "_")


def list_pages(config: IngestConfig) -> list[Item]:
    """HTML pages of the Python documentation, but for its indexes."""
    folder = find_web_folder(config)
    pages = [p for p in _sized(folder.rglob("*.html"), config) if _is_page(p.relative_to(folder))]
    if not pages:
        raise SourceError(
            f"{folder} holds no HTML pages of at most {config.max_bytes} bytes: reinstall "
            f"python3.11-doc or set {WEB_DOCS_ENV} to another folder"
        )
    return _items(folder, pages)


def find_web_folder(config: IngestConfig) -> Path:
    """The first of the places that is there; the environment's own goes first."""
    named = [os.environ[WEB_DOCS_ENV]] if os.environ.get(WEB_DOCS_ENV) else []
    places = [*named, *(p.format(prefix=sys.prefix) for p in config.web_folders)]
    for place in places:
        if Path(place).is_dir():
            return Path(place)
    raise SourceError(
        f"no Python documentation in {', '.join(places)}: install it (apt-get install "
        "python3.11-doc, or without root `make setup`), or set "
        f"{WEB_DOCS_ENV} to a folder of HTML pages"
    )


def list_modules(config: IngestConfig) -> list[Item]:
    """Modules of the standard library, but for tests and tables."""
    folder = Path(sysconfig.get_path("stdlib"))
    modules = [
        path
        for path in _sized(folder.rglob("*.py"), config)
        if not _CODE_LEFT_OUT.intersection(path.relative_to(folder).parts)
        and not path.name.startswith("_sysconfigdata")
    ]
    if not modules:
        raise SourceError(f"{folder} holds no Python sources: use a Python that ships them")
    return _items(folder, modules)


def _is_page(path: Path) -> bool:
    return not any(part.startswith(_PAGES_LEFT_OUT) for part in path.parts)


def _sized(paths: Iterable[Path], config: IngestConfig) -> list[Path]:
    return [p for p in paths if p.is_file() and 0 < p.stat().st_size <= config.max_bytes]


def _items(folder: Path, paths: list[Path]) -> list[Item]:
    return [Item(p.relative_to(folder).as_posix(), partial(_read, p)) for p in sorted(paths)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is unreadable as UTF-8 text: {error}") from error
