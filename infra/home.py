"""Where this machine keeps the pipeline's state; every place can be set by the environment."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository."""


def home() -> Path:
    """`K2_HOME`, by default `.k2` in the repository."""
    return Path(os.environ.get("K2_HOME", ROOT / ".k2")).absolute()


def store_root() -> str:
    """`K2_STORE`: a folder, `s3://...` or `gs://...`; by default `store` in the home."""
    return os.environ.get("K2_STORE", str(home() / "store"))


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, by default an SQLite file in the home."""
    home().mkdir(parents=True, exist_ok=True)
    return os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{home() / 'mlflow.db'}")
