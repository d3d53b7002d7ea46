"""Artifacts are named by content, published whole or not at all, and verified."""

import hashlib
import json
import multiprocessing
import os
import re
import shutil
from pathlib import Path

import pytest

from k2core.store import (
    ArtifactCorruptError,
    ArtifactMissingError,
    Draft,
    Store,
    digest_of,
    manifest_of,
    read_address,
)
from k2core.store.digest import hash_file
from schemas.artifacts import CleanCorpus, RawCorpus


def _publish(store: Store, text: str, key: str = "work") -> RawCorpus:
    workspace = store.workspace(key)
    (workspace.out / "sub").mkdir()
    (workspace.out / "sub" / "a.txt").write_text(text)
    return store.publish(RawCorpus, Draft(workspace.out, {"documents": 1}))


def test_equal_bytes_have_equal_digests_in_two_stores(tmp_path: Path) -> None:
    first = _publish(Store(tmp_path / "one"), "text")
    second = _publish(Store(tmp_path / "two"), "text")
    assert first == second
    assert _publish(Store(tmp_path / "one"), "other").digest != first.digest


def test_a_file_name_is_part_of_the_identity(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("same")
    assert digest_of(manifest_of(tmp_path / "a")) != digest_of(manifest_of(tmp_path / "b"))


def test_publishing_twice_keeps_one_object(tmp_path: Path) -> None:
    store = Store(tmp_path)
    _publish(store, "text", "first")
    _publish(store, "text", "second")
    assert len(list((tmp_path / "objects").iterdir())) == 1


def test_an_empty_draft_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="holds no files"):
        store.publish(RawCorpus, Draft(store.workspace("w").out, {}))


def test_a_changed_byte_is_found_and_named(tmp_path: Path) -> None:
    artifact = _publish(Store(tmp_path), "text")
    (Store(tmp_path).open(artifact) / "sub" / "a.txt").write_text("tex7")
    with pytest.raises(ArtifactCorruptError, match=r"sub/a\.txt"):
        Store(tmp_path).open(artifact)


@pytest.mark.parametrize("damage", ["lost", "added"])
def test_a_lost_or_added_file_is_found(tmp_path: Path, damage: str) -> None:
    artifact = _publish(Store(tmp_path), "text")
    folder = Store(tmp_path).open(artifact)
    if damage == "lost":
        (folder / "sub" / "a.txt").unlink()
    else:
        (folder / "stranger").write_text("x")
    with pytest.raises(ArtifactCorruptError, match=r"a\.txt|stranger"):
        Store(tmp_path).open(artifact)


def test_a_forged_manifest_does_not_pass(tmp_path: Path) -> None:
    artifact = _publish(Store(tmp_path), "text")
    folder = Store(tmp_path).open(artifact)
    (folder / "sub" / "a.txt").write_text("forged")
    forged = json.dumps([list(entry) for entry in manifest_of(folder)])
    (tmp_path / "manifests" / f"{folder.name}.json").write_text(forged)
    with pytest.raises(ArtifactCorruptError, match="does not match its digest"):
        Store(tmp_path).open(artifact)


def test_a_missing_artifact_says_what_to_do(tmp_path: Path) -> None:
    artifact = CleanCorpus(digest="sha256:" + "0" * 64)
    with pytest.raises(ArtifactMissingError, match="rerun the stage"):
        Store(tmp_path).open(artifact)


def test_scratch_survives_and_out_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.workspace("key")
    (first.scratch / "step-5").write_text("state")
    (first.out / "half").write_text("written")
    again = Store(tmp_path).workspace("key")
    assert (again.scratch / "step-5").read_text() == "state"
    assert not list(again.out.iterdir())
    store.clear("key")
    assert not list(store.workspace("key").scratch.iterdir())


def test_a_remote_root_gives_the_same_artifact_elsewhere(tmp_path: Path) -> None:
    root = f"memory://{tmp_path.name}"
    artifact = _publish(Store(root, cache=tmp_path / "here"), "text")
    elsewhere = Store(root, cache=tmp_path / "there")
    assert elsewhere.has(artifact)
    assert (elsewhere.open(artifact) / "sub" / "a.txt").read_text() == "text"


def test_files_are_listed_with_where_any_machine_finds_them(tmp_path: Path) -> None:
    root = f"memory://{tmp_path.name}"
    artifact = _publish(Store(root, cache=tmp_path / "here"), "text")
    there = Store(root, cache=tmp_path / "there")
    (file,) = there.list_files(artifact)
    assert not file.path.exists()
    assert there.bring(file) == file.path
    assert file.path.read_text() == "text"
    assert file.path.is_relative_to(tmp_path / "there")
    assert file.sha256 == hashlib.sha256(b"text").hexdigest()
    assert read_address(file.address) == b"text"
    local = Store(tmp_path / "local")
    (file,) = local.list_files(_publish(local, "text"))
    assert file.address == str(file.path)


def _bytes_read() -> int:
    """By this process so far, whoever asked for them."""
    (line,) = [x for x in Path("/proc/self/io").read_text().splitlines() if x.startswith("rchar")]
    return int(line.split()[1])


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_publishing_reads_each_byte_once(tmp_path: Path, kind: str) -> None:
    root = f"memory://{tmp_path.name}" if kind == "memory" else str(tmp_path / "root")
    store, size = Store(root, cache=tmp_path / "here"), 20_000_000
    workspace = store.workspace("work")
    (workspace.out / "large").write_bytes(b"0123456789" * (size // 10))
    before = _bytes_read()
    artifact = store.publish(CleanCorpus, Draft(workspace.out, {}))
    assert size <= _bytes_read() - before < 1.2 * size
    store.open(artifact)
    assert _bytes_read() - before < 1.4 * size, "what was published is not hashed again"


def test_equal_bytes_are_kept_once_wherever_they_were_sent(tmp_path: Path) -> None:
    store = Store(f"memory://{tmp_path.name}", cache=tmp_path / "here")
    assert store.bucket is not None
    one = _publish(store, "text")
    (file,) = store.list_files(one)
    assert _publish(Store(store.root, cache=tmp_path / "there"), "text") == one
    assert [f"{store.root}/objects/{name}" for name in store.bucket.sizes("objects")] == [
        file.address
    ]
    store.bucket.delete(file.address.removeprefix(f"{store.root}/"))
    assert not store.has(one)
    assert _publish(Store(store.root, cache=tmp_path / "else"), "text") == one
    assert Store(store.root, cache=tmp_path / "new").open_file(one, file.name).read_text() == "text"


def _hold(root: str, log: str) -> None:
    store = Store(root)
    with store.locked("key"):
        with Path(log).open("a") as stream:
            stream.write("in ")
        with Path(log).open("a") as stream:
            stream.write("out ")


def test_the_same_work_is_done_by_one_process_at_a_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_hold, args=(str(tmp_path), str(log))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert log.read_text().split() == ["in", "out"] * 3


def _spy_hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    hashed: list[str] = []

    def hash_and_note(path: Path) -> str:
        hashed.append(path.name)
        return hash_file(path)

    monkeypatch.setattr("k2core.store.objects.hash_file", hash_and_note)
    return hashed


@pytest.fixture
def settled(tmp_path: Path) -> RawCorpus:
    """An artifact whose files were not written just now."""
    out = Store(tmp_path).workspace("work").out
    for name in ("a", "b"):
        (out / name).write_text(name)
        os.utime(out / name, (1, 1))
    return Store(tmp_path).publish(RawCorpus, Draft(out, {}))


def test_what_was_verified_is_not_hashed_again(
    settled: RawCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = _spy_hashes(monkeypatch)
    store = Store(tmp_path)
    store.open(settled)
    assert store.has(settled)
    assert hashed == []
    assert store.find_fault(settled, verify=True) == ""
    assert sorted(hashed) == ["a", "b"]


def test_a_copied_store_is_hashed_once(
    settled: RawCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    shutil.copytree(tmp_path, moved)
    hashed = _spy_hashes(monkeypatch)
    for _ in range(2):
        assert Store(moved).has(settled)
        assert sorted(hashed) == ["a", "b"]


@pytest.mark.parametrize("damage", ["flipped", "flipped, time put back", "cut", "lost", "all lost"])
def test_what_was_damaged_is_noticed_without_opening_and_mended_by_making_it_again(
    settled: RawCorpus, tmp_path: Path, damage: str
) -> None:
    path = Store(tmp_path).open(settled) / "b"
    if "flipped" in damage:
        path.write_text("c")
    elif damage == "cut":
        path.write_text("")
    else:
        shutil.rmtree(path.parent) if damage == "all lost" else path.unlink()
    if "put back" in damage:
        os.utime(path, (1, 1))
    store = Store(tmp_path)
    assert not store.has(settled)
    assert re.search(r"\bb\b.* changed, lost or added", store.find_fault(settled))
    out = store.workspace("again").out
    for name in ("a", "b"):
        (out / name).write_text(name)
    assert store.publish(RawCorpus, Draft(out, {})) == settled
    assert Store(tmp_path).find_fault(settled, verify=True) == ""


def test_a_change_that_no_time_tells_of_is_found_on_demand(
    settled: RawCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (Store(tmp_path).open(settled) / "b").write_text("c")
    monkeypatch.setattr("k2core.store.objects._stamp", lambda path: [1, 1, 1, 1])
    (tmp_path / "manifests" / f"{settled.digest[7:]}.verified").write_text('{"b": [1, 1, 1, 1]}')
    assert Store(tmp_path).has(settled)
    assert "b changed" in Store(tmp_path).find_fault(settled, verify=True)
