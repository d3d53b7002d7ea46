"""Folders that machines have made for an unfinished work, in its bucket: whole or not there.

A folder's files come first, each hashed while it is sent, and last `NAME.made`, which says what
they are; without it nothing is there, and whoever does the work again writes over what is. They lie
among the work's states, outlive the machine that made them, and go when the states go.
"""

import hashlib
from pathlib import Path

from k2core.store.bucket import Bucket, read_address
from k2core.store.digest import manifest_bytes, read_manifest
from k2core.store.errors import ArtifactCorruptError
from k2core.store.remote import send_files
from k2core.store.workspace import StoredFile

_MADE = ".made"


def read_verified(file: StoredFile) -> bytes:
    """A file by its address, on a machine that reaches it.

    Raises:
        FileNotFoundError: there is none.
        ArtifactCorruptError: it holds other bytes than its SHA-256 says, if it has one.
    """
    content = read_address(file.address)
    if file.sha256 and hashlib.sha256(content).hexdigest() != file.sha256:
        raise ArtifactCorruptError(
            f"{file.address} does not match the SHA-256 of its manifest: delete that manifest and "
            "rerun the stage that makes it"
        )
    return content


class MadeFolders:
    """The folders below an address, by names such as `judged/000012`.

    Args:
        address: of a work's states in a bucket; each machine reaches it in its own right.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def send(self, name: str, folder: Path) -> None:
        """Send all files of a folder; it is there once all of them are."""
        bucket = Bucket(self._address)
        bucket.put(name + _MADE, manifest_bytes(send_files(bucket, name, folder)))

    def names(self, prefix: str) -> set[str]:
        """Folders below another one that are there, without its name."""
        found = Bucket(self._address).sizes(prefix)
        return {name.removesuffix(_MADE) for name in found if name.endswith(_MADE)}

    def files(self, name: str, copies: Path) -> dict[str, StoredFile]:
        """A folder's files by their paths in it; none is fetched.

        Args:
            name: of one that is there.
            copies: where they are brought on this machine.
        """
        return {
            path: StoredFile(copies / path, f"{self._address}/{name}/{path}", sha, size=size)
            for path, size, sha in read_manifest(Bucket(self._address).read(name + _MADE))
        }
