"""The artifact store of this process."""

from functools import lru_cache
from pathlib import Path

from infra.home import home, store_root
from k2core.store import Store
from schemas.base import Artifact


@lru_cache(maxsize=1)
def open_store() -> Store:
    """The artifact store of this process, from `K2_STORE`."""
    return Store(store_root(), cache=home() / "store-cache")


def published_folder(artifact: Artifact) -> Path:
    """Where this machine holds an artifact, verified."""
    return open_store().open(artifact)
