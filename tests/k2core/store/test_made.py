"""What other machines make for a work: whole or not there, and published without coming here."""

from pathlib import Path

import pytest

from k2core.store import (
    ArtifactCorruptError,
    Draft,
    Garbage,
    MadeFolders,
    Store,
    StoredFile,
    read_verified,
)
from k2core.store.bucket import Bucket
from schemas.artifacts import RawCorpus
from tests.s3 import S3

FILES = {"documents/0.parquet": b"texts", "counts.json": b"{}"}


@pytest.fixture
def store(bucket: str, tmp_path: Path) -> Store:
    return Store(bucket, tmp_path / "driver")


def send(store: Store, folder: Path, name: str = "read/000001") -> MadeFolders:
    """As a worker does, on a disk of its own."""
    made = store.workspace("key").made
    assert made is not None
    for path, content in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    made.send(name, folder)
    return made


def test_a_folder_is_brought_file_by_file(store: Store, s3: S3, tmp_path: Path) -> None:
    made = send(store, tmp_path / "worker")
    assert made.names("read") == {"000001"}
    assert made.names("judged") == set()
    s3.spoil(None)
    files = made.files("read/000001", tmp_path / "driver" / "copies")
    assert {name: file.size for name, file in files.items()} == {
        k: len(v) for k, v in FILES.items()
    }
    for _ in range(2):
        path = store.bring(files["counts.json"])
        assert path == tmp_path / "driver" / "copies" / "counts.json"
        assert path.read_bytes() == b"{}"
    assert s3.count("GET", "counts.json") == 1
    assert not s3.count("GET", "0.parquet")
    assert read_verified(files["documents/0.parquet"]) == b"texts"


def test_a_folder_that_was_not_sent_whole_is_not_there(
    store: Store, s3: S3, tmp_path: Path
) -> None:
    s3.spoil(
        lambda request: "403" if request.method == "PUT" and "0.parquet" in request.path else ""
    )
    with pytest.raises(Exception, match="403"):
        send(store, tmp_path / "worker")
    s3.spoil(None)
    made = store.workspace("key").made
    assert made is not None
    assert made.names("read") == set()
    send(store, tmp_path / "worker")
    assert made.names("read") == {"000001"}


def test_a_file_with_other_bytes_is_refused(store: Store, tmp_path: Path) -> None:
    made = send(store, tmp_path / "worker")
    files = made.files("read/000001", tmp_path / "copies")
    Bucket(store.root).put("work/key/states/read/000001/counts.json", b"[]")
    with pytest.raises(ArtifactCorruptError, match=r"counts\.json is lost, or does not match"):
        store.bring(files["counts.json"])
    with pytest.raises(ArtifactCorruptError, match=r"counts\.json does not match the SHA-256"):
        read_verified(files["counts.json"])


def test_a_draft_takes_what_lies_in_the_bucket(store: Store, s3: S3, tmp_path: Path) -> None:
    files = send(store, tmp_path / "worker").files("read/000001", tmp_path / "copies")
    out = store.workspace("key").out
    (out / "documents-more.json").write_bytes(b"more")
    s3.spoil(None)
    taken = {"documents/7.parquet": files["documents/0.parquet"]}
    artifact = store.publish(RawCorpus, store.adopt(Draft(out, {}), taken))
    assert s3.count("GET", "0.parquet") == 0
    store.clear("key")
    assert not Bucket(store.root).sizes("work")

    whole = tmp_path / "whole"
    (whole / "documents").mkdir(parents=True)
    (whole / "documents" / "7.parquet").write_bytes(b"texts")
    (whole / "documents-more.json").write_bytes(b"more")
    assert Store(tmp_path / "folder").publish(RawCorpus, Draft(whole, {})) == artifact
    folder = Store(store.root, tmp_path / "there").open(artifact)
    assert (folder / "documents" / "7.parquet").read_bytes() == b"texts"


def test_a_copy_that_fails_leaves_nothing(store: Store, tmp_path: Path) -> None:
    made = send(store, tmp_path / "worker")
    lost = made.files("read/000001", tmp_path / "copies")["counts.json"]
    Bucket(store.root).delete("work/key/states/read/000001/counts.json")
    out = store.workspace("key").out
    (out / "own").write_bytes(b"own")
    with pytest.raises(FileNotFoundError):
        store.adopt(Draft(out, {}), {"counts.json": lost})
    assert not Bucket(store.root).sizes("objects")


def test_what_a_dead_work_left_is_swept(store: Store, tmp_path: Path) -> None:
    made, garbage = send(store, tmp_path / "worker"), Garbage(store)
    assert garbage.works()["key"].size > sum(map(len, FILES.values()))
    garbage.delete_work("key")
    assert made.names("read") == set()
    assert not garbage.works()


def test_a_folder_as_the_store_has_no_bucket_to_copy_from(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.workspace("key").made is None
    file = StoredFile(tmp_path / "counts.json", "s3://bucket/counts.json", "")
    with pytest.raises(ValueError, match=r"is no bucket: counts\.json cannot be there"):
        store.adopt(Draft(tmp_path, {}), {"counts.json": file})
