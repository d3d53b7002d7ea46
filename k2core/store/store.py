"""A store resolves digests to folders; its root is a folder, `s3://` or `gs://` (fsspec)."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import fsspec

from k2core.reporting import Reporter, Silent
from k2core.store.digest import ManifestEntry, digest_of, manifest_of
from k2core.store.workspace import Draft, Workspace
from schemas.base import Artifact

A = TypeVar("A", bound=Artifact)


class ArtifactMissingError(LookupError):
    """A digest that this store does not hold."""


class ArtifactCorruptError(ValueError):
    """Bytes that no longer match their digest."""


class StoredFile(NamedTuple):
    """A file of an artifact that was opened."""

    path: Path
    """On this machine."""
    address: str
    """Below the store's root: where every machine that reaches the store finds it."""
    sha256: str


class Store:
    """Artifacts under `root/objects/<hex>`, manifests beside them, workspaces under `local/work`.

    A remote root is mirrored: objects are fetched into `local` on opening and uploaded on
    publishing, manifest last, so that a manifest's presence means that the object is whole.
    """

    def __init__(self, root: str | Path, local: Path | None = None) -> None:
        self.root = str(root)
        self._remote = "://" in self.root and not self.root.startswith("file://")
        if self._remote and local is None:
            raise ValueError(f"a remote store ({self.root}) needs a local folder for its copies")
        self.local = Path(local) if local else Path(self.root.removeprefix("file://")).absolute()
        for name in ("objects", "manifests", "work"):
            (self.local / name).mkdir(parents=True, exist_ok=True)
        self._verified: set[str] = set()

    def has(self, artifact: Artifact) -> bool:
        """Whether the artifact is here, whole by its manifest (bytes are checked on opening)."""
        name = f"{artifact.digest.removeprefix('sha256:')}.json"
        if (self.local / "manifests" / name).exists():
            return True
        return self._remote and self._filesystem().exists(f"{self.root}/manifests/{name}")

    def open(self, artifact: Artifact) -> Path:
        """The artifact's folder; fetched if remote, verified against its digest once a process.

        Raises:
            ArtifactMissingError: the store does not hold the digest.
            ArtifactCorruptError: a file was changed, lost or added; the message names it.
        """
        name = artifact.digest.removeprefix("sha256:")
        folder = self.local / "objects" / name
        if not (self.local / "manifests" / f"{name}.json").exists():
            if not self.has(artifact):
                raise ArtifactMissingError(
                    f"{artifact.kind} {artifact.digest} is not in the store {self.root}; rerun the "
                    "stage that makes it, or point K2_STORE at the store that holds it"
                )
            self._fetch(name)
        if artifact.digest not in self._verified:
            self._verify(artifact, folder)
            self._verified.add(artifact.digest)
        return folder

    def list_files(self, artifact: Artifact) -> list[StoredFile]:
        """The artifact's files, sorted by path; opens it.

        Raises:
            ArtifactMissingError: the store does not hold the digest.
            ArtifactCorruptError: a file was changed, lost or added; the message names it.
        """
        folder = self.open(artifact)
        base = f"{self.root}/objects/{folder.name}" if self._remote else str(folder)
        entries = self._read_manifest(folder.name)
        return [StoredFile(folder / e.path, f"{base}/{e.path}", e.sha256) for e in entries]

    def publish(self, kind: type[A], draft: Draft) -> A:
        """Digest a draft and move it into the store in one rename; equal bytes are kept once."""
        manifest = manifest_of(draft.folder)
        if not manifest:
            raise ValueError(f"{draft.folder} holds no files: a stage must write what it publishes")
        digest = digest_of(manifest)
        name = digest.removeprefix("sha256:")
        target = self.local / "objects" / name
        if (self.local / "manifests" / f"{name}.json").exists():
            shutil.rmtree(draft.folder)
        else:
            shutil.rmtree(target, ignore_errors=True)
            draft.folder.rename(target)
            self._write_manifest(name, manifest)
        if self._remote:
            self._upload(name)
        self._verified.add(digest)
        return kind.model_validate({"digest": digest, "counts": draft.counts})

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Hold the work named `key` alone; a second process waits. A killed one lets go."""
        with (self.local / "work" / f"{key}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def workspace(self, key: str, report: Reporter | None = None) -> Workspace:
        """The folders of the work named `key`: `out` emptied, `scratch` as it was left."""
        folder = self.local / "work" / key
        out, scratch = folder / "out", folder / "scratch"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        scratch.mkdir(parents=True, exist_ok=True)
        return Workspace(self, out, scratch, report or Silent())

    def clear(self, key: str) -> None:
        """Delete the folders of finished work."""
        shutil.rmtree(self.local / "work" / key, ignore_errors=True)

    def _verify(self, artifact: Artifact, folder: Path) -> None:
        wanted = {e.path: e for e in self._read_manifest(folder.name)}
        found = {e.path: e for e in manifest_of(folder)} if folder.is_dir() else {}
        wrong = sorted(p for p in wanted.keys() | found.keys() if wanted.get(p) != found.get(p))
        if wrong or digest_of(list(wanted.values())) != artifact.digest:
            raise ArtifactCorruptError(
                f"{artifact.kind} {artifact.digest} in {self.root} does not match its digest: "
                f"{', '.join(wrong[:5]) or 'manifest'} changed, lost or added; delete "
                f"{folder} with its manifest and rerun the stage that makes it"
            )

    def _read_manifest(self, name: str) -> list[ManifestEntry]:
        text = (self.local / "manifests" / f"{name}.json").read_text()
        return [ManifestEntry(*row) for row in json.loads(text)]

    def _write_manifest(self, name: str, manifest: list[ManifestEntry]) -> None:
        path = self.local / "manifests" / f"{name}.json"
        aside = path.with_name(f".{name}.{os.getpid()}")
        aside.write_text(json.dumps([list(entry) for entry in manifest]))
        aside.rename(path)

    def _filesystem(self) -> fsspec.AbstractFileSystem:
        return fsspec.core.url_to_fs(self.root)[0]

    def _fetch(self, name: str) -> None:
        aside = self.local / "objects" / f".{name}.{os.getpid()}"
        self._filesystem().get(f"{self.root}/objects/{name}/", f"{aside}/", recursive=True)
        shutil.rmtree(self.local / "objects" / name, ignore_errors=True)
        aside.rename(self.local / "objects" / name)
        with self._filesystem().open(f"{self.root}/manifests/{name}.json") as stream:
            self._write_manifest(name, [ManifestEntry(*row) for row in json.load(stream)])

    def _upload(self, name: str) -> None:
        files = self._filesystem()
        if files.exists(f"{self.root}/manifests/{name}.json"):
            return
        files.put(f"{self.local}/objects/{name}/", f"{self.root}/objects/{name}/", recursive=True)
        files.put(f"{self.local}/manifests/{name}.json", f"{self.root}/manifests/{name}.json")
