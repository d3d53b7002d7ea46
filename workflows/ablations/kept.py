"""Finished arms on disk: a killed experiment goes on where it was."""

import json
from pathlib import Path
from typing import Any


def keep_result(path: Path, result: dict[str, Any]) -> None:
    """Write it aside, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".aside")
    aside.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    aside.rename(path)


def read_result(path: Path) -> dict[str, Any]:
    """A kept result.

    Raises:
        ValueError: it is no JSON object; names the file.
    """
    try:
        result: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} holds no result ({error}): delete it to train again") from error
    return result
