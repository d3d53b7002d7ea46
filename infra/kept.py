"""Files that a run keeps with MLflow, read without MLflow where they lie in the home."""

import json
import os
from pathlib import Path

from infra.home import home

ARTIFACTS = "mlflow-artifacts"
"""Folder of the home."""


def kept_folder(run_id: str) -> Path | None:
    """Where a run's files are, if the home has them, wherever it was when they were written."""
    if "MLFLOW_TRACKING_URI" in os.environ:
        return None
    return home() / ARTIFACTS / run_id / "artifacts"


def read_kept(run_id: str, name: str) -> bytes:
    """A file of a run.

    Raises:
        FileNotFoundError: the run has no such file.
    """
    if folder := kept_folder(run_id):
        return (folder / name).read_bytes()
    return Path(_download(run_id, name)).read_bytes()


def kept_files(run_id: str, name: str) -> Path:
    """A folder of files of a run.

    Raises:
        FileNotFoundError: the run has none.
    """
    folder = kept_folder(run_id)
    if folder is None:
        folder = Path(_download(run_id, name))
    else:
        folder /= name
    if not folder.is_dir():
        raise FileNotFoundError(f"run {run_id} keeps no {name}")
    return folder


def _download(run_id: str, name: str) -> str:
    from mlflow.exceptions import MlflowException

    from infra.tracking import client

    try:
        return str(client().download_artifacts(run_id, name))
    except (MlflowException, OSError) as error:
        raise FileNotFoundError(f"run {run_id} keeps no {name}: {error}") from error


def read_kept_json(run_id: str, name: str) -> dict[str, object]:
    """A JSON object of a run."""
    found: dict[str, object] = json.loads(read_kept(run_id, name))
    return found
