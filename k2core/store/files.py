"""Files that are there whole or not at all, in a folder or in a bucket."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from k2core.store.bucket import Bucket
from k2core.store.fetch import hold


class FolderFiles:
    """Below a folder that all who work see."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A path beside the others; when the block ends well it gets its name."""
        target = self._folder / name
        with _aside(self._folder / ".writing", target.name) as path:
            yield path
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)

    def read(self, name: str, start: int, stop: int | None) -> bytes:
        """Bytes of a file."""
        with (self._folder / name).open("rb") as stream:
            stream.seek(start)
            return stream.read(-1 if stop is None else stop - start)

    def fetch(self, name: str) -> Path:
        """The file itself."""
        path = self._folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{self._folder} has no {name}")
        return path

    def names(self) -> list[str]:
        """All files, sorted; others may write and delete meanwhile."""
        found: list[str] = []
        for folder, folders, files in os.walk(self._folder):  # one that vanishes has no files
            place = Path(folder).relative_to(self._folder)
            folders[:] = [name for name in folders if (place / name) != Path(".writing")]
            found += [(place / name).as_posix() for name in files]
        return sorted(found)

    def delete(self, name: str) -> None:
        """Delete a file and the folders that it leaves empty."""
        path = self._folder / name
        path.unlink(missing_ok=True)
        while path.parent != self._folder and not any(path.parent.iterdir()):
            path = path.parent
            path.rmdir()


class BucketFiles:
    """Below an address; what is fetched is kept on this machine.

    Args:
        bucket: the files are in it.
        folder: of this machine, for copies.
    """

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self._bucket, self._folder = bucket, folder

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A path on this machine; when the block ends well it is uploaded, and deleted."""
        with _aside(self._folder / ".writing", Path(name).name) as path:
            yield path
            self._bucket.upload(path, name)

    def read(self, name: str, start: int, stop: int | None) -> bytes:
        """Bytes of a file."""
        return self._bucket.read(name, start, stop)

    def fetch(self, name: str) -> Path:
        """A copy of the file as it is now; one at a time fetches it, the others wait."""
        size, tag = self._bucket.look(name)
        version = hashlib.sha256(f"{name} {tag}".encode()).hexdigest()[:32]
        target = self._folder / version / Path(name).name
        with hold(target.with_name(".part")) as stream:
            if not target.exists():
                for piece in self._bucket.read_parts(name, stream.seek(0, 2), size):
                    stream.write(piece)
                stream.flush()
                target.with_name(".part").replace(target)
        target.with_name(".part").unlink(missing_ok=True)
        return target

    def names(self) -> list[str]:
        """All files, sorted."""
        return sorted(self._bucket.sizes(""))

    def delete(self, name: str) -> None:
        """Delete a file, if there is one."""
        self._bucket.delete(name)


@contextmanager
def _aside(folder: Path, name: str) -> Iterator[Path]:
    """A path of nobody else's with this name; what is left there is deleted."""
    place = folder / uuid.uuid4().hex
    place.mkdir(parents=True)
    try:
        yield place / name
    finally:
        (place / name).unlink(missing_ok=True)
        place.rmdir()
