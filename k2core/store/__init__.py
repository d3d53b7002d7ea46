"""Artifacts by content: publish atomically, verify on opening, resume where a run was killed."""

from k2core.store.addresses import let_fsspec_reach_buckets
from k2core.store.bucket import read_address
from k2core.store.digest import ManifestEntry, digest_of, manifest_of
from k2core.store.errors import ArtifactCorruptError, ArtifactMissingError, LeaseLostError
from k2core.store.garbage import Garbage
from k2core.store.lease import Beat, Lease
from k2core.store.made import MadeFolders, read_verified
from k2core.store.states import States
from k2core.store.store import Difference, Store
from k2core.store.together import publish_together
from k2core.store.workspace import Artifacts, Draft, StoredFile, Workspace

__all__ = [
    "ArtifactCorruptError",
    "ArtifactMissingError",
    "Artifacts",
    "Beat",
    "Difference",
    "Draft",
    "Garbage",
    "Lease",
    "LeaseLostError",
    "MadeFolders",
    "ManifestEntry",
    "States",
    "Store",
    "StoredFile",
    "Workspace",
    "digest_of",
    "let_fsspec_reach_buckets",
    "manifest_of",
    "publish_together",
    "read_address",
    "read_verified",
]
