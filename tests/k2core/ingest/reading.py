"""A folder's documents, without the stage."""

from collections.abc import Iterator

from k2core.ingest.folder import FoundRecord, read_files
from k2core.ingest.losses import Losses
from k2core.ingest.places import list_files
from schemas.ingest import FilesConfig


def read_folder(config: FilesConfig, losses: Losses) -> Iterator[FoundRecord]:
    """In the order of paths; what gives none is added to `losses`."""
    losses.begin(config.name)
    yield from read_files(config, list_files(config, losses.add), losses)
    losses.check_read(config.folder)
