"""Finished arms on disk: a killed experiment goes on where it was."""

import json
from pathlib import Path
from typing import Any

Result = dict[str, Any]
"""What an arm came to: a JSON object, whose fields are its experiment's."""


def keep_result(path: Path, result: Result) -> None:
    """Write it aside, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".aside")
    aside.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    aside.rename(path)


def read_result(path: Path) -> Result:
    """A kept result.

    Raises:
        ValueError: it is no JSON object; names the file.
    """
    try:
        result: Result = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} holds no result ({error}): delete it to train again") from error
    return result
