"""An artifact that several processes made, each some of its files, on disks of their own."""

import shutil
from typing import TypeVar

from k2core.store.digest import digest_of, in_order
from k2core.store.remote import new_place
from k2core.store.store import Store
from k2core.store.workspace import Draft, Processes
from schemas.base import Artifact

A = TypeVar("A", bound=Artifact)


def publish_together(store: Store, kind: type[A], draft: Draft, processes: Processes) -> A:
    """Make an artifact of the files in all drafts' folders: each process brings its own, read once.

    Raises:
        ValueError: the drafts are empty, or two hold files of one name.
    """
    place = processes.share(new_place())
    own = store.send(place, draft.folder) if draft.folder.is_dir() else []
    manifest = processes.share(in_order(e for part in processes.collect(own) for e in part))
    names = {entry.path for entry in manifest}
    if not manifest or len(names) < len(manifest):
        raise ValueError(
            f"{draft.folder}: {len(manifest)} files of {len(names)} names: no artifact"
        )
    found = {"digest": digest_of(manifest), "counts": processes.share(draft.counts)}
    artifact = kind.model_validate(found)
    store.take_part(artifact, draft.folder, own)
    processes.wait()
    if processes.rank == 0:
        store.complete(artifact, place, manifest)
    processes.wait()
    shutil.rmtree(draft.folder, ignore_errors=True)
    return artifact
