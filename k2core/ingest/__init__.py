"""Ingest: raw documents from installed sources, each with its licence and digest."""

from k2core.ingest.collect import collect_documents
from k2core.ingest.source import SourceError
from k2core.ingest.sources import list_sources
from k2core.store import Draft, Workspace
from schemas.ingest import IngestConfig
from schemas.placement import Placement

__all__ = ["SourceError", "ingest_sources"]


def ingest_sources(config: IngestConfig, workspace: Workspace, placement: Placement) -> Draft:
    """Collect a seeded sample of each source, as a `RawCorpus`.

    Raises:
        SourceError: a source is missing, empty or unreadable; all are looked at before any is read.
    """
    return collect_documents(config, list_sources(config), workspace, placement.data_workers)
