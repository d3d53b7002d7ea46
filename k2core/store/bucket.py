"""The one way to what is not a folder: s3://, gs://, abfs:// and memory://, through obstore.

Parts of bounded size go up and down, each a request of its own that is tried again: memory does not
grow with a file, and what broke off goes on.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError
from obstore.store import MemoryStore, from_url

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode, PutResult, UpdateVersion
    from obstore.store import ObjectStore

T = TypeVar("T")

SCHEMES = ("s3", "gs", "abfs", "memory")
"""Roots that are no folders, and are supported."""
_PART = 4 * 2**20
_UPLOAD_PART = 8 * 2**20
_MOST_PARTS = 9_000
"""Of an upload: S3 and GCS take 10,000."""
_AHEAD = 2
"""Parts of a file that are under way at a time."""
_TRIES = 5
"""Where obstore tries no more: a body broke off, or nobody knows whether a write came through."""


class Tag(NamedTuple):
    """What names one state of an object in a condition: S3 and Azure ask for the entity tag."""

    e_tag: str
    version: str | None
    """GCS asks for its generation."""

    @property
    def condition(self) -> "UpdateVersion":
        """As obstore takes it."""
        e_tag: UpdateVersion = {"e_tag": self.e_tag}
        return e_tag if self.version is None else {**e_tag, "version": self.version}


class Tagged(NamedTuple):
    """A small object's content, and the tag of this state of it."""

    content: bytes
    tag: Tag


class SentBytes(NamedTuple):
    """What was sent of a file."""

    size: int
    sha256: str


class Bucket:
    """What lies below an address such as `s3://bucket/folder`.

    Credentials and endpoint come from the environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`) or from the
    machine's role, as obstore reads them.

    Args:
        root: its address.
        timeout_s: of a request.

    Raises:
        ValueError: the scheme is none that is supported.
    """

    def __init__(self, root: str, timeout_s: int = 120) -> None:
        scheme, _, rest = root.partition("://")
        host, _, prefix = rest.partition("/")
        if scheme not in SCHEMES or not host:
            known = ", ".join(f"{name}://" for name in SCHEMES)
            raise ValueError(f"{root} is no place for a store: give a folder, or one of {known}")
        self.root = root.rstrip("/")
        self._prefix = prefix.strip("/")
        self._store = _connect(scheme, host, timeout_s)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """An object, or its bytes from `start` to before `stop`.

        Raises:
            FileNotFoundError: there is no such object.
        """
        key = self._key(name)
        if stop is None:
            return _try_again(lambda: bytes(obstore.get(self._store, key).bytes())[start:])
        if start == stop:
            return b""
        return _try_again(lambda: bytes(obstore.get_range(self._store, key, start=start, end=stop)))

    def read_parts(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        """Bytes from `start` to before `stop`, piece by piece, a few ahead."""
        waiting: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(_AHEAD) as pool:
            for begin in range(start, stop, _PART):
                waiting.append(pool.submit(self.read, name, begin, min(stop, begin + _PART)))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def read_tagged(self, name: str) -> Tagged | None:
        """A small object with its tag; None where there is none."""
        try:
            found = obstore.get(self._store, self._key(name))
            return Tagged(bytes(found.bytes()), _tag(found.meta))
        except FileNotFoundError:
            return None

    def put(self, name: str, content: bytes) -> None:
        """Write an object, whole or not at all."""
        obstore.put(self._store, self._key(name), content)

    def put_if(self, name: str, content: bytes, tag: Tag | None) -> Tag | None:
        """Write only over the state that has this tag, or, if None, only where nothing is.

        Returns:
            The new tag; None if the object is another than was thought: maybe this very write is
            there, and its answer was lost.

        Raises:
            FileNotFoundError: there is no such bucket.
        """
        mode: PutMode = "create" if tag is None else tag.condition

        def write() -> Tag | None:
            try:
                result = obstore.put(self._store, self._key(name), content, mode=mode)
            except (AlreadyExistsError, PreconditionError):
                return None
            except FileNotFoundError as error:
                if tag is not None:
                    return None
                raise FileNotFoundError(f"{self.root}: there is no such bucket") from error
            return _tag(result)

        return _try_again(write)

    def upload(self, path: Path, name: str) -> SentBytes:
        """Write a file part by part; it is read once, and hashed meanwhile."""
        sha, size, sent = hashlib.sha256(), path.stat().st_size, 0
        part = max(_UPLOAD_PART, -(-size // _MOST_PARTS))

        def pieces() -> Iterator[bytes]:
            nonlocal sent
            with path.open("rb") as stream:
                while piece := stream.read(part):
                    sha.update(piece)
                    sent += len(piece)
                    yield piece

        if size <= part:
            self.put(name, b"".join(pieces()))
        else:
            key = self._key(name)
            obstore.put(self._store, key, pieces(), chunk_size=part, max_concurrency=_AHEAD)
        return SentBytes(sent, sha.hexdigest())

    def copy(self, name: str, target: str) -> None:
        """Write an object, of at most 5 GB on S3, once more under another name; no byte comes here.

        Raises:
            FileNotFoundError: there is no such object.
        """
        _try_again(lambda: obstore.copy(self._store, self._key(name), self._key(target)))

    def hash(self, name: str, size: int) -> str:
        """SHA-256 of an object, of which no copy is kept."""
        sha = hashlib.sha256()
        for piece in self.read_parts(name, 0, size):
            sha.update(piece)
        return sha.hexdigest()

    def look(self, name: str) -> tuple[int, str]:
        """An object's bytes, and the tag that names this state of it.

        Raises:
            FileNotFoundError: there is no such object.
        """
        found = obstore.head(self._store, self._key(name))
        return found["size"], found["e_tag"] or ""

    def sizes(self, folder: str) -> dict[str, int]:
        """Objects below a folder, by their names in it, with their bytes."""
        return {name: size for name, (size, _) in self.entries(folder).items()}

    def entries(self, folder: str) -> dict[str, tuple[int, float]]:
        """Objects below a folder, with their bytes and the second of their last change."""
        place = self._key(folder).rstrip("/")
        return {
            found["path"][len(place) + 1 :]: (found["size"], found["last_modified"].timestamp())
            for page in obstore.list(self._store, place, chunk_size=1000)
            for found in page
        }

    def delete(self, name: str) -> None:
        """Delete an object, if there is one."""
        obstore.delete(self._store, self._key(name))

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name


def _tag(said: "ObjectMeta | PutResult") -> Tag:
    return Tag(said["e_tag"] or "", said["version"])


def _try_again(request: Callable[[], T]) -> T:
    for attempt in range(_TRIES - 1):
        try:
            return request()
        except GenericError:
            time.sleep(0.1 * 2**attempt)
    return request()


@cache
def _memory(_host: str) -> MemoryStore:
    return MemoryStore()  # one a name and process


def _connect(scheme: str, host: str, timeout_s: int) -> "ObjectStore":
    if scheme == "memory":
        return _memory(host)
    # An address of plain http was chosen by whoever stated it.
    return from_url(
        f"{scheme}://{host}", client_options={"allow_http": True, "timeout": f"{timeout_s}s"}
    )


def read_address(address: str) -> bytes:
    """A file by the address that `Store.list_files` gave it.

    Raises:
        FileNotFoundError: there is none.
    """
    if "://" not in address:
        return Path(address).read_bytes()
    scheme, _, rest = address.partition("://")
    host, _, name = rest.partition("/")
    return Bucket(f"{scheme}://{host}").read(name)
