"""Where one piece of work happens: a folder to write in, another that survives a kill."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from k2core.store.digest import ManifestEntry
from k2core.store.states import States
from schemas.base import Artifact

if TYPE_CHECKING:
    from k2core.reporting import Reporter
    from k2core.store.made import MadeFolders

T = TypeVar("T")


class Sent(NamedTuple):
    """Files of an artifact to be, in a bucket, where nobody sees them yet."""

    place: str
    manifest: list[ManifestEntry]


class Processes(Protocol):
    """Those who make an artifact together, as seen by one of them."""

    @property
    def rank(self) -> int:
        """This one."""

    @property
    def local_rank(self) -> int:
        """This one, among those of its machine."""

    def share(self, value: T) -> T:
        """What the first has, to all."""

    def collect(self, value: T) -> list[T]:
        """What each has, to the first."""

    def wait(self) -> None:
        """Until all are here."""


class Draft(NamedTuple):
    """A finished but unpublished artifact: its folder (inside the workspace) and its counts."""

    folder: Path
    counts: dict[str, float]
    sent: "Sent | None" = None
    """Where its files are already, if not all in the folder."""


class StoredFile(NamedTuple):
    """A file of an artifact, or of what a work has made so far."""

    path: Path
    """On this machine, once it was brought."""
    address: str
    """Below the store's root: where every machine that reaches the store finds it."""
    sha256: str
    """Empty of what no artifact holds."""
    artifact: Artifact | None = None
    name: str = ""
    """Its path in the artifact."""
    size: int = -1
    """Bytes; -1 of what no manifest lists."""


class Artifacts(Protocol):
    """Where work finds what it reads: a `Store`."""

    disk: Path
    """Where this machine keeps what it makes and fetches."""

    def open(self, artifact: Artifact) -> Path:
        """The artifact's folder, whole."""

    def open_file(self, artifact: Artifact, path: str) -> Path:
        """One file of it, and no other is fetched."""

    def list_files(self, artifact: Artifact) -> list[StoredFile]:
        """Its files; none is fetched."""

    def send_together(self, draft: Draft, processes: Processes) -> Draft:
        """A draft that processes hold on several disks: what each machine has, to the bucket."""

    def bring(self, file: StoredFile) -> Path:
        """A file on this machine, verified."""

    def adopt(self, draft: Draft, files: Mapping[str, StoredFile]) -> Draft:
        """A draft, and files of the bucket by their paths in the artifact: none comes here."""


@dataclass(frozen=True)
class Workspace:
    """What a stage is given to work with; the same work finds the same workspace again."""

    store: Artifacts
    out: Path
    """Empty at the start; what is written here can be published."""
    scratch: Path
    """Survives a killed run on this machine, for shards to resume from; deleted when published."""
    states: States
    """Files that outlive the machine, for another one to resume from; deleted when published."""
    report: "Reporter"
    kept: States
    """Files of the longest finished work that differs in its config's `extent` alone: not deleted
    when published, so that work that goes further can begin with them."""
    made: "MadeFolders | None" = None
    """What other machines make for this work; None where the store is a folder."""

    def open(self, artifact: Artifact) -> Path:
        """The artifact's folder, read-only, verified once a process."""
        return self.store.open(artifact)
