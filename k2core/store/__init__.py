"""Artifacts by content: publish atomically, verify on opening, resume where a run was killed."""

from k2core.store.digest import ManifestEntry, digest_of, manifest_of
from k2core.store.store import ArtifactCorruptError, ArtifactMissingError, Store, StoredFile
from k2core.store.workspace import Draft, Workspace

__all__ = [
    "ArtifactCorruptError",
    "ArtifactMissingError",
    "Draft",
    "ManifestEntry",
    "Store",
    "StoredFile",
    "Workspace",
    "digest_of",
    "manifest_of",
]
