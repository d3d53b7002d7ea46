"""When a stage's earlier result may be used again."""

import hashlib
import os
import uuid
from pathlib import Path

import flyte
from flyte._cache.cache import VersionParameters

from infra.home import store_root


def store_id() -> str:
    """Identity of the artifact store, so that a cache never answers for another store.

    A remote store is its root; a folder holds a random identity, made on first use.
    """
    root = store_root()
    if "://" in root and not root.startswith("file://"):
        return root
    path = Path(root.removeprefix("file://")) / "store-id"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".store-id-{os.getpid()}")
        aside.write_text(uuid.uuid4().hex)
        try:
            path.hardlink_to(aside)
        except FileExistsError:
            pass
        finally:
            aside.unlink()
    return path.read_text()


class StageVersion:
    """A Flyte cache policy: the stage's explicit VERSION in this artifact store.

    Flyte's own policy hashes the task function's body alone, so an edit of the work that the
    task calls would not change the key.
    """

    def __init__(self, version: str) -> None:
        self.version = version

    def get_version(self, salt: str, params: VersionParameters[..., object]) -> str:
        """Hash of VERSION and store; `params` (body, image) say nothing about the result."""
        return hashlib.sha256(f"{salt}|{self.version}|{store_id()}".encode()).hexdigest()


def at(version: str) -> flyte.Cache:
    """Cache at this VERSION; where the work runs (`placement`) does not change what it is."""
    return flyte.Cache("auto", policies=[StageVersion(version)], ignored_inputs=("placement",))


def refreshed(version: str) -> flyte.Cache:
    """The same key as `at(version)`, but run again and overwrite: for results that were lost."""
    policy = StageVersion(version).get_version("", VersionParameters(func=None))
    key = hashlib.sha256(policy.encode()).hexdigest()
    return flyte.Cache("override", version_override=key, ignored_inputs=("placement",))
