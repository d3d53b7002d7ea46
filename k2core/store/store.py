"""A store resolves digests to folders; its root is a folder or a bucket (`s3://`, `gs://`)."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from k2core.reporting import Reporter, Silent
from k2core.store.bucket import Bucket
from k2core.store.digest import ManifestEntry, digest_of, file_names, in_order, manifest_of
from k2core.store.errors import ArtifactCorruptError, ArtifactMissingError
from k2core.store.fetch import DiskPlace
from k2core.store.lease import Beat, Lease
from k2core.store.objects import Objects
from k2core.store.remote import Remote, new_place
from k2core.store.states import States
from k2core.store.works import Works
from k2core.store.workspace import Draft, Processes, Sent, StoredFile, Workspace
from schemas.base import Artifact

A = TypeVar("A", bound=Artifact)


class Difference(NamedTuple):
    """A file that is not as it was published."""

    what: str
    """`changed`, `missing` or `extra`."""
    path: str


_BEAT = Beat()


class Store:
    """Artifacts under `root/objects/HEX`, manifests beside them, workspaces under `disk/work`.

    A bucket is mirrored file by file: what is opened is fetched to `disk`, what is published is
    uploaded, manifest last, so that a manifest's presence means that the object is whole.

    Args:
        root: a folder, or the address of a bucket.
        cache: for a bucket: the folder of this machine for copies and unfinished work.
        beat: for a bucket: how leases live.
    """

    def __init__(self, root: str | Path, cache: Path | None = None, beat: Beat = _BEAT) -> None:
        self.root = str(root).removeprefix("file://")
        bucket = Bucket(self.root) if "://" in self.root else None
        self.bucket = bucket
        """None if the root is a folder."""
        if bucket and cache is None:
            raise ValueError(f"a remote store ({self.root}) needs a folder for its copies")
        self.disk = Path(cache if bucket and cache else self.root).absolute()
        """Where this machine keeps objects and works: the root itself, or a bucket's copies."""
        self._objects = Objects(self.disk)
        self._remote = Remote(bucket, self._objects, self.disk / "fetching") if bucket else None
        self._works = Works(self.disk / "work", self.root if bucket else "", beat)
        self._verified: set[tuple[str, str]] = set()
        """Objects, with a file's path or "" for all of them, that this process looked at."""

    def __getstate__(self) -> dict[str, object]:
        """For another process, whose machine may be another one: it looks for itself."""
        return self.__dict__ | {"_verified": set()}

    def has(self, artifact: Artifact) -> bool:
        """Whether the artifact is there and, as far as a cheap look tells, whole."""
        return not self.find_fault(artifact)

    def find_fault(self, artifact: Artifact, *, verify: bool = False) -> str:
        """What is wrong with an artifact, in words; empty if nothing is.

        Args:
            artifact: any.
            verify: hash every file, also a bucket's. Else those whose size, times or inode are not
                what they were when they were hashed; of a bucket sizes alone.
        """
        try:
            manifest, name = self.manifest(artifact), _name(artifact)
        except (ArtifactMissingError, ArtifactCorruptError) as error:
            return str(error)
        wrong = (self._remote or self._objects).find_wrong(name, manifest, verify=verify)
        if not self._remote:
            wrong += self._objects.find_added(name, manifest)
        return self._describe(artifact, wrong) if wrong else ""

    def differences(self, artifact: Artifact) -> list[Difference]:
        """Every file, hashed, that is not what the artifact's digest says.

        Raises:
            ArtifactMissingError: the store does not hold the digest.
            ArtifactCorruptError: the manifest is not the digest's.
        """
        manifest, name = self.manifest(artifact), _name(artifact)
        place = self._remote or self._objects
        there = place.sizes(name)
        wrong = place.find_wrong(name, [e for e in manifest if e.path in there], verify=True)
        known = {entry.path for entry in manifest}
        found = [
            *(Difference("missing", path) for path in known - there.keys()),
            *(Difference("changed", path) for path in wrong),
            *(Difference("extra", path) for path in there.keys() - known),
        ]
        return sorted(found, key=lambda difference: difference.path)

    def manifest(self, artifact: Artifact) -> list[ManifestEntry]:
        """The artifact's files with sizes and SHA-256, sorted by path; none is fetched.

        Raises:
            ArtifactMissingError: the store does not hold the digest.
            ArtifactCorruptError: the manifest is not the digest's.
        """
        try:
            manifest = (self._remote or self._objects).manifest(_name(artifact))
        except ValueError as error:
            raise ArtifactCorruptError(self._describe(artifact, [f"manifest ({error})"])) from error
        if manifest is None:
            raise ArtifactMissingError(
                f"{artifact.kind} {artifact.digest} is not in the store {self.root}; rerun the "
                "stage that makes it, or point K2_STORE at the store that holds it"
            )
        if digest_of(manifest) != artifact.digest:
            raise ArtifactCorruptError(self._describe(artifact, ["manifest"]))
        return manifest

    def open(self, artifact: Artifact) -> Path:
        """The artifact's folder: what is not here is fetched, what was changed is noticed.

        Raises:
            ArtifactMissingError: the store does not hold the digest.
            ArtifactCorruptError: a file was changed, lost or added; the message names it.
        """
        name = _name(artifact)
        if (name, "") not in self._verified:
            manifest = self._known_manifest(artifact)
            self._have(artifact, manifest)
            if added := self._objects.find_added(name, manifest):
                raise ArtifactCorruptError(self._describe(artifact, added))
            self._verified.add((name, ""))
        return self._objects.folder(name)

    def open_file(self, artifact: Artifact, path: str) -> Path:
        """One file of an artifact, verified; no other is fetched.

        Raises:
            FileNotFoundError: the artifact has no such file.
            ArtifactMissingError: the store does not hold the digest.
            ArtifactCorruptError: the file was changed or lost.
        """
        name = _name(artifact)
        if not {(name, ""), (name, path)} & self._verified:
            found = [entry for entry in self._known_manifest(artifact) if entry.path == path]
            if not found:
                raise FileNotFoundError(f"{artifact.kind} {artifact.digest} has no file {path}")
            self._have(artifact, found)
            self._verified.add((name, path))
        return self._objects.folder(name) / path

    def list_files(self, artifact: Artifact) -> list[StoredFile]:
        """The artifact's files, sorted by path; none is fetched or looked at.

        Raises:
            ArtifactMissingError: the store does not hold the digest.
            ArtifactCorruptError: the manifest is not the digest's.
        """
        name, manifest = _name(artifact), self._known_manifest(artifact)
        folder = self._objects.folder(name)
        base = f"{self.root}/{self._remote.folder(name)}" if self._remote else str(folder)
        return [
            StoredFile(folder / e.path, f"{base}/{e.path}", e.sha256, artifact, e.path, e.size)
            for e in manifest
        ]

    def bring(self, file: StoredFile) -> Path:
        """A file on this machine, an artifact's verified; raises what `open_file` raises."""
        if file.artifact:
            return self.open_file(file.artifact, file.name)
        if self._remote and "://" in file.address and not file.path.is_file():
            self._remote.bring(file)
        return file.path

    def publish(self, kind: type[A], draft: Draft) -> A:
        """Digest a draft and make it an artifact, whole or not at all; equal bytes are kept once.

        Each file is read once: a bucket's is hashed while it is sent.

        Raises:
            ValueError: the draft is empty, or a file has a name that no bucket takes.
        """
        place, manifest = draft.sent or self._send_anew(draft.folder)
        if not manifest:
            raise ValueError(f"{draft.folder} holds no files: a stage must write what it publishes")
        artifact = kind.model_validate({"digest": digest_of(manifest), "counts": draft.counts})
        name = _name(artifact)
        if self._remote:
            self._remote.complete(name, place, manifest)
        if draft.sent:
            here = [entry for entry in manifest if (draft.folder / entry.path).is_file()]
            self._objects.take_part(name, draft.folder, here)
        else:
            self._objects.take(name, draft.folder, manifest)
            self._verified.add((name, ""))
        shutil.rmtree(draft.folder, ignore_errors=True)
        self._objects.add_manifest(name, manifest)
        return artifact

    def send_together(self, draft: Draft, processes: Processes) -> Draft:
        """A draft that processes hold on several disks: what each machine has, to the bucket.

        With a folder as its root they all see one disk, and the draft is as it was.

        Raises:
            ValueError: two machines hold different files of one name.
        """
        if not self._remote:
            return draft
        place = processes.share(new_place())
        first = processes.local_rank == 0 and draft.folder.is_dir()
        own = self.send(place, draft.folder) if first else []
        found = processes.share(in_order({e for part in processes.collect(own) for e in part}))
        if len({entry.path for entry in found}) < len(found):
            raise ValueError(f"{draft.folder}: machines hold different files of one name")
        return draft._replace(sent=Sent(place, found))

    def adopt(self, draft: Draft, files: Mapping[str, StoredFile]) -> Draft:
        """A draft, and files that lie in the bucket, which copies them: none comes here.

        Args:
            draft: its folder has the rest, which is sent.
            files: of the bucket, by their paths in the artifact (`MadeFolders.files`).
        """
        if not self._remote:
            raise ValueError(f"{self.root} is no bucket: {', '.join([*files][:3])} cannot be there")
        sent = self._send_anew(draft.folder)
        manifest = in_order([*sent.manifest, *self._remote.copy(sent.place, files)])
        return draft._replace(sent=sent._replace(manifest=manifest))

    @contextmanager
    def locked(self, key: str) -> Iterator[Lease]:
        """Hold the work named `key` alone; a second process waits. A dead one's is taken over."""
        lease = self.lease(key)
        while not lease.try_take():
            time.sleep(lease.pause)
        try:
            yield lease
        finally:
            lease.release()

    def lease(self, key: str) -> Lease:
        """The right to work on `key`, not taken yet; if it is lost later, no state is sealed."""
        return self._works.lease(key)

    def held(self) -> dict[str, str]:
        """Works that somebody is at now, by key, with who; a bucket's dead ones count a while."""
        return self._works.held()

    def note_result(self, key: str, result: bytes) -> None:
        """Say what came of the work named `key`, for those who wait for it."""
        self._works.note_result(key, result)

    def result(self, key: str) -> bytes | None:
        """What came of the work named `key` when it was last done, on whatever machine."""
        return self._works.result(key)

    def send(self, place: str, folder: Path) -> list[ManifestEntry]:
        """Hash some files of an artifact to be, and bring them to the bucket if there is one.

        Args:
            place: the same for all of its files; nobody sees them before it is complete.
            folder: whose files they are.

        Raises:
            ValueError: a file has a name that no bucket takes.
        """
        for name in file_names(folder):
            if not name.isprintable():
                raise ValueError(f"{name!r} in {folder}: a file's name must be printable")
        return self._remote.send(place, folder) if self._remote else manifest_of(folder)

    def _send_anew(self, folder: Path) -> Sent:
        place = new_place()
        return Sent(place, self.send(place, folder))

    def take_part(self, artifact: Artifact, folder: Path, entries: Sequence[ManifestEntry]) -> None:
        """Keep some of an artifact's files, which were sent, on this machine."""
        self._objects.take_part(_name(artifact), folder, entries)

    def complete(self, artifact: Artifact, place: str, manifest: Sequence[ManifestEntry]) -> None:
        """From now on the artifact is there: all parts have been sent and taken."""
        if self._remote:
            self._remote.complete(_name(artifact), place, manifest)
        self._objects.add_manifest(_name(artifact), manifest)

    def workspace(
        self, key: str, report: Reporter | None = None, part: int = 0, family: str = ""
    ) -> Workspace:
        """The folders of the work named `key`: `out` emptied, `scratch` as it was left.

        Args:
            key: of the work.
            report: the stage's.
            part: of a work that several processes do; each has an `out` of its own.
            family: names all works that differ from this one in their extent alone.
        """
        folders, states = self._works.folders(key, part), self._works.states(key)
        kept = self._works.states(family or f"{key}-kept")
        made = self._works.made(key)
        report = report or Silent()
        return Workspace(self, folders.out, folders.scratch, states, report, kept, made)

    def states(self, key: str) -> States:
        """The states of the work named `key`: for a process beside the one that leads it."""
        return self._works.states(key)

    def clear(self, key: str) -> None:
        """Delete the folders and states of finished work."""
        self._works.clear(key)

    def _known_manifest(self, artifact: Artifact) -> list[ManifestEntry]:
        """From this machine if it is there: an artifact never changes."""
        if not self._remote:
            return self.manifest(artifact)
        with suppress(ValueError):
            known = self._objects.manifest(_name(artifact)) or []
            if digest_of(known) == artifact.digest:
                return known
        manifest = self.manifest(artifact)
        self._objects.add_manifest(_name(artifact), manifest)
        return manifest

    def _have(self, artifact: Artifact, entries: Sequence[ManifestEntry]) -> None:
        name = _name(artifact)
        places = {e: DiskPlace.of(self._objects.folder(name) / e.path) for e in entries}
        wrong = set(self._objects.find_wrong(name, entries))
        if wrong and not self._remote:
            raise ArtifactCorruptError(self._describe(artifact, sorted(wrong)))
        if self._remote and wrong:
            self._remote.fetch(name, {e: at for e, at in places.items() if e.path in wrong})

    def _describe(self, artifact: Artifact, wrong: Sequence[str]) -> str:
        return (
            f"{artifact.kind} {artifact.digest} in {self.root} does not match its digest: "
            f"{', '.join(wrong[:5])} changed, lost or added; delete "
            f"{self.root}/objects/{_name(artifact)} with its manifest and rerun the stage that "
            "makes it"
        )


def _name(artifact: Artifact) -> str:
    return artifact.digest.removeprefix("sha256:")
