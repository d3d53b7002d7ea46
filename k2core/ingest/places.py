"""The files of a folder, near or far: what is there, what a rule leaves out, how each is opened."""

import io
import os
import stat
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, Protocol, cast

import fsspec

from k2core.ingest.records import RecordFault
from k2core.ingest.source import SourceError
from k2core.ingest.web import fetch, name_of
from k2core.store.bucket import SCHEMES, Bucket
from schemas.ingest import FilesConfig

_PART = 4 << 20
_CHANGES = ("ETag", "etag", "blob_id", "sha256", "mtime", "LastModified", "last_modified")
"""By what file systems of fsspec say that a file changed."""


class File(NamedTuple):
    """A file that is to be read."""

    name: str
    """Its path below the folder; bytes that are no UTF-8 are written out as `\\xff`."""
    size: int
    """-1 where it is not known before it is opened."""
    open: Callable[[], IO[bytes]]
    changed: str = ""
    """When, or to what; empty where the place does not say."""
    path: Path | None = None
    """On this machine's disks, if that is where it is."""


class LeftOut(Protocol):
    """Hears of what is not read."""

    def __call__(self, file: str, fault: RecordFault) -> None:
        """A file or folder, and by which rule."""


def list_files(config: FilesConfig, left_out: LeftOut) -> list[File]:
    """Its files in the order of their paths.

    Raises:
        SourceError: there is no such folder, or it holds none that is asked for.
    """
    scheme = config.folder.partition("://")[0].lower() if "://" in config.folder else ""
    try:
        if scheme in ("", "file"):
            found = _list_local(Path(config.folder.removeprefix("file://")), config, left_out)
        elif scheme in SCHEMES:
            found = _list_bucket(Bucket(config.folder), config)
        elif scheme in ("http", "https"):
            found = [File(name_of(config.folder), -1, partial(fetch, config.folder, config))]
        else:
            found = _list_remote(config.folder)
    except (FileNotFoundError, NotADirectoryError, ImportError) as error:
        raise SourceError(f"{config.folder}: there is no such folder ({error})") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{config.folder}: it cannot be listed ({error})") from error
    wanted = [file for file in found if fnmatchcase(file.name, config.pattern)]
    kept = [file for file in wanted if not _is_excluded(file.name, config, left_out)]
    if not kept:
        others = f"; {len(found)} others" if found else ""
        raise SourceError(f"{config.folder} holds no files like {config.pattern!r}{others}")
    return sorted(kept, key=lambda file: file.name)


def show_name(name: str) -> str:
    """A name that can be written, whatever bytes it has."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_excluded(name: str, config: FilesConfig, left_out: LeftOut) -> bool:
    for part in name.split("/"):
        for pattern in config.exclude:
            if fnmatchcase(part, pattern):
                left_out(name, RecordFault("", f"excluded by {pattern!r}", by_rule=True))
                return True
    return False


def _list_local(root: Path, config: FilesConfig, left_out: LeftOut) -> list[File]:
    if root.is_file():
        return [_local_file(root, show_name(root.name))]
    if not root.is_dir():
        if os.path.lexists(root):
            raise OSError("neither a folder nor a file: a pipe, a device, or a link to nothing")
        raise FileNotFoundError(str(root))
    top = os.path.realpath(root)
    seen = {top}
    found: list[File] = []
    waiting = [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            left_out(prefix, RecordFault("", "a folder that cannot be read", error.strerror or ""))
            continue
        for entry in entries:
            name = prefix + show_name(entry.name)
            if refused := _refuse_entry(entry, config):
                left_out(name, refused)
            elif not entry.is_dir():
                found.append(_local_file(Path(entry.path), name))
            elif any(fnmatchcase(show_name(entry.name), each) for each in config.exclude):
                left_out(
                    name + "/", RecordFault("", "a folder excluded by a pattern", by_rule=True)
                )
            elif (place := os.path.realpath(entry.path)) not in seen:
                seen.add(place)
                waiting.append((Path(entry.path), name + "/"))
    return found


def _refuse_entry(entry: "os.DirEntry[str]", config: FilesConfig) -> RecordFault | None:
    try:
        if entry.is_symlink() and not config.follow_links:
            return RecordFault("", "a link; follow_links is false", by_rule=True)
        mode = entry.stat().st_mode
    except OSError as error:
        return RecordFault("", "a file that cannot be looked at", error.strerror or "")
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        return RecordFault("", "a pipe, socket or device", by_rule=True)
    return None


def _local_file(path: Path, name: str) -> File:
    about = path.stat()
    return File(name, about.st_size, partial(_open_local, path), str(about.st_mtime_ns), path)


def _open_local(path: Path) -> IO[bytes]:
    return path.open("rb")


def _list_bucket(bucket: Bucket, config: FilesConfig) -> list[File]:
    entries = bucket.entries("")
    if not entries:
        raise FileNotFoundError(f"nothing lies below {config.folder}")
    return [
        File(name, size, partial(_open_object, bucket, name, size), str(changed))
        for name, (size, changed) in entries.items()
    ]


def _open_object(bucket: Bucket, name: str, size: int) -> IO[bytes]:
    return io.BufferedReader(_Object(bucket, name, size), _PART)


class _Object(io.RawIOBase):
    """An object of a bucket, read by ranges."""

    def __init__(self, bucket: Bucket, name: str, size: int) -> None:
        self._bucket, self._name, self._size, self._at = bucket, name, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        stop = min(self._size, self._at + len(buffer))
        data = self._bucket.read(self._name, self._at, stop) if stop > self._at else b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _list_remote(address: str) -> list[File]:
    """Whatever else fsspec reaches with what is installed: hf://, tar://."""
    system, root = fsspec.core.url_to_fs(address)
    about = system.find(root, detail=True)
    return list(_remote_files(system, root, about))


def _remote_files(
    system: "fsspec.AbstractFileSystem", root: str, found: dict[str, dict[str, object]]
) -> Iterator[File]:
    for path, about in found.items():
        name = path.removeprefix(root).lstrip("/") or path.rpartition("/")[2]
        size = about.get("size")
        opener = cast(Callable[[], IO[bytes]], partial(system.open, path, "rb"))
        changed = next((str(about[key]) for key in _CHANGES if about.get(key)), "")
        yield File(name, size if isinstance(size, int) else -1, opener, changed)
