"""The documents that this home is to forget: every clean that it starts drops them."""

import json
from collections.abc import Iterable
from pathlib import Path

from infra.home import home


def read_forgotten() -> list[str]:
    """Their ids."""
    path = _file()
    return list(json.loads(path.read_text())) if path.exists() else []


def add_forgotten(doc_ids: Iterable[str]) -> None:
    """Some more."""
    path = _file()
    aside = path.with_suffix(".aside")
    aside.write_text(json.dumps(sorted({*read_forgotten(), *doc_ids}), indent=1) + "\n")
    aside.replace(path)


def _file() -> Path:
    return home() / "forgotten.json"
