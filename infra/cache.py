"""When a stage's earlier result may be used again."""

import hashlib
import os
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

import flyte
from flyte._cache.cache import VersionParameters

from infra.home import StoreAwayError, store_root
from infra.versions import identity_of

_STORE_ID = "store-id"
"""File of a store that says which store it is, by whatever name one came to it."""

_ASKED_MACHINE = "//169.254.169.254/"
"""Where clients ask a cloud's machine for credentials when nobody gave them any."""
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


def store_id() -> str:
    """Identity of the artifact store, so that a cache never answers for another store.

    A random word that the store itself holds, made on first use: the same for everybody who sees
    the store, on whatever machine and under whatever address.

    Raises:
        StoreAwayError: a bucket cannot be used; says why.
    """
    root = store_root()
    return _bucket_id(root) if "://" in root else _folder_id(Path(root))


def _folder_id(folder: Path) -> str:
    path = folder / _STORE_ID
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f".{_STORE_ID}-{uuid.uuid4().hex}"
        aside.write_text(uuid.uuid4().hex)
        try:
            os.link(aside, path)
        except FileExistsError:
            pass
        finally:
            aside.unlink()
    return path.read_text()


@cache
def _bucket_id(root: str) -> str:
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError
    from obstore.store import from_url

    scheme, _, address = root.partition("://")
    bucket, _, folder = address.partition("/")
    if scheme == "memory":  # of this process alone
        return root
    name = f"{folder}/{_STORE_ID}".lstrip("/")
    try:
        store = from_url(f"{scheme}://{bucket}", client_options={"allow_http": True})
        with suppress(AlreadyExistsError):
            obstore.put(store, name, uuid.uuid4().hex.encode(), mode="create")
        return bytes(obstore.get(store, name).bytes()).decode()
    except (BaseError, OSError, ValueError) as error:
        raise StoreAwayError(f"K2_STORE={root} cannot be used: {_reason(error, scheme)}") from error


def _reason(error: Exception, scheme: str) -> str:
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    if isinstance(error, FileNotFoundError):
        return "there is no such bucket"
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return "these credentials may not write there"
    if _ASKED_MACHINE in str(error):
        return (
            f"no credentials are set ({_CREDENTIALS.get(scheme, 'see obstore')}), and the machine "
            "has no role that gives any"
        )
    return str(error).partition("\n")[0]


class StageVersion:
    """A Flyte cache policy: what the stage is (VERSION, packages' pins), in this artifact store.

    Flyte's own policy hashes the task function's body alone, so an edit of the work that the
    task calls would not change the key.
    """

    def __init__(self, version: str) -> None:
        self.version = version

    def key(self, stage: str) -> str:
        """Hash of the stage's identity and the store's."""
        return hashlib.sha256(
            f"{identity_of(stage, self.version)}|{store_id()}".encode()
        ).hexdigest()

    def get_version(self, salt: str, params: VersionParameters[..., object]) -> str:
        """The key of the stage that the task is named after; body and image say nothing."""
        if params.func is None:
            raise TypeError("a stage's task is a function of the stage's name")
        return self.key(params.func.__name__)


def at(version: str) -> flyte.Cache:
    """Cache at this VERSION; where the work runs (`placement`) does not change what it is."""
    return flyte.Cache("auto", policies=[StageVersion(version)], ignored_inputs=("placement",))


def refreshed(stage: str, version: str) -> flyte.Cache:
    """The stage's key as `at(version)` has it, but run again and overwrite: a result was lost."""
    key = hashlib.sha256(StageVersion(version).key(stage).encode()).hexdigest()
    return flyte.Cache("override", version_override=key, ignored_inputs=("placement",))
