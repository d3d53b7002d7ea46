"""Where this machine keeps the pipeline's state; every place can be set by the environment."""

import hashlib
import os
import re
import tempfile
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository."""


class StoreAwayError(OSError):
    """The artifact store cannot be used; the message says which, and why."""


def home() -> Path:
    """`K2_HOME`, by default `.k2` in the repository."""
    return Path(os.environ.get("K2_HOME", ROOT / ".k2")).absolute()


def store_root() -> str:
    """`K2_STORE`: a folder, `s3://...` or `gs://...`; by default `store` in the home.

    One spelling a place: a folder is an absolute path, also where it was `file://...`, and nothing
    ends in a slash.
    """
    root = os.environ.get("K2_STORE", str(home() / "store"))
    scheme, there, path = root.rpartition("://")
    if scheme in ("", "file", "local"):
        return str(Path(path).expanduser().absolute())
    return scheme + there + re.sub("/+", "/", path).rstrip("/")


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, by default an SQLite file in the home."""
    home().mkdir(parents=True, exist_ok=True)
    return os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{plain_home() / 'mlflow.db'}")


def tracking_place() -> str:
    """The same for a person to read: without a password that the address holds."""
    return re.sub(r"//[^/@]*@", "//", tracking_uri())


def plain_home() -> Path:
    """The home by a path that can stand in an address: a link to it, if its own has `%?#`.

    Raises:
        FileExistsError: the link's place is another's.
    """
    place = home()
    if not set("%?#") & set(str(place)):
        return place
    name = hashlib.sha256(str(place).encode()).hexdigest()[:16]
    link = Path(tempfile.gettempdir()) / f"k2-home-{os.getuid()}-{name}"
    with suppress(FileExistsError):
        link.symlink_to(place, target_is_directory=True)
    if link.lstat().st_uid != os.getuid() or link.readlink() != place:
        raise FileExistsError(f"{link} must be a link to {place}, and is not: delete it")
    return link


def last_harvest() -> Path:
    """The file that names the last harvest's artifact, of tools."""
    return home() / "tools" / "repository.json"


def settle(environment: MutableMapping[str, str]) -> None:
    """Make the places absolute, so that they are the same for whoever works in another folder."""
    if "K2_HOME" in environment:
        environment["K2_HOME"] = str(Path(environment["K2_HOME"]).expanduser().absolute())
    if "://" not in environment.get("K2_STORE", "://"):
        environment["K2_STORE"] = str(Path(environment["K2_STORE"]).expanduser().absolute())


settle(os.environ)  # before anybody changes the folder or starts a process
