"""Where one piece of work happens: a folder to write in, another that survives a kill."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from schemas.base import Artifact

if TYPE_CHECKING:
    from k2core.reporting import Reporter
    from k2core.store.store import Store


class Draft(NamedTuple):
    """A finished but unpublished artifact: its folder (inside the workspace) and its counts."""

    folder: Path
    counts: dict[str, float]


@dataclass(frozen=True)
class Workspace:
    """What a stage is given to work with; the same work finds the same workspace again."""

    store: "Store"
    out: Path
    """Empty at the start; what is written here can be published."""
    scratch: Path
    """Survives a killed run, for checkpoints and shards to resume from; deleted when published."""
    report: "Reporter"

    def open(self, artifact: Artifact) -> Path:
        """The artifact's folder, read-only, its digest verified once a process."""
        return self.store.open(artifact)
