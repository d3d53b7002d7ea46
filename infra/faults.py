"""What a disk or the tracking server refused, in words: where, and what to do.

Libraries wrap such an error in their own, or hand on its text alone; so the whole chain of an error
is looked at, and its words where it has no number.
"""

import errno
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from infra.home import home, tracking_place
from schemas.errors import FULL, NoRoomError

_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_FULL_WORDS = re.compile("No space left on device|database or disk is full|Disk quota exceeded")
_CLOSED_WORDS = re.compile(
    "Read-only file system|attempt to write a readonly database|unable to open database file"
)
_AWAY_WORDS = re.compile(
    r"API request to https?://\S+ failed|API request to endpoint \S+ failed with error code 50\d"
)
_PATH = re.compile(r"""['"](/[^'"\n]+)['"]""")
_AGAIN = "then run the same command again: it goes on where it stopped"


def describe_fault(error: BaseException) -> str:
    """What was refused and what to do; empty if an error is none of this machine's or server's."""
    for found in _chain(error):
        number = found.errno if isinstance(found, OSError) else None
        text = str(found)
        if number in FULL or _FULL_WORDS.search(text):
            return _say_full(found)
        if number in _CLOSED or _CLOSED_WORDS.search(text):
            return _say_closed(found)
        if is_away(found):
            return (
                f"MLflow does not answer at {tracking_place()}: start it, or unset "
                f"MLFLOW_TRACKING_URI to record in this home; {_AGAIN}"
            )
    return ""


def is_away(error: BaseException) -> bool:
    """Whether a tracking server did not answer: it may when it is asked again."""
    return bool(_AWAY_WORDS.search(str(error)))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it: of a full disk the one that says the most comes first."""
    found: list[BaseException] = []
    near: BaseException | None = error
    while near is not None and near not in found:
        found.append(near)
        near = near.__cause__ or near.__context__
    yield from sorted(found, key=lambda each: not isinstance(each, NoRoomError))


def _say_full(error: BaseException) -> str:
    path = _path_of(error)
    free = shutil.disk_usage(_existing(path)).free
    wanted = error.strerror if isinstance(error, NoRoomError) else "it takes more than is free"
    return (
        f"no room is left for {path}: {wanted}, and {free:,} bytes are free there. Make room (`k2 "
        f"gc` lists what nothing needs any more), {_AGAIN}"
    )


def _say_closed(error: BaseException) -> str:
    path = _path_of(error)
    return (
        f"{path} cannot be written or opened by this user: give it the rights, mount it writable, "
        "or set K2_HOME (and K2_STORE, where it is a folder) to a place that is"
    )


def _path_of(error: BaseException) -> Path:
    named = getattr(error, "filename", None)
    if isinstance(named, str) and named:
        return Path(named)
    text = str(error)
    if "sqlite3" in text:  # MLflow's; the statement in its text may quote any path
        return home() / "mlflow.db"
    quoted = _PATH.search(text)
    return Path(quoted[1]) if quoted else home()


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents, Path("/")) if each.exists())
