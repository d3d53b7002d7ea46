"""Whatever a store's root is, what one machine publishes another one opens; on a real S3 server."""

import multiprocessing
import threading
from collections.abc import Mapping
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
from k2core.store.bucket import Bucket
from schemas.artifacts import RawCorpus
from tests.k2core.store.conftest import SERVERS, make_bucket
from tests.k2core.store.machines import NUM_FILES, open_and_read, publish_and_open
from tests.s3 import CUT, FLIP, S3, Request, Rule

PARTS = 10_000_000
"""Bytes of a file that goes down in three parts, and up in two."""

SHAPES: dict[str, dict[str, bytes]] = {
    "flat": {"a.txt": b"a", "b.txt": b"b"},
    "one folder": {"documents/0.parquet": b"0", "sources.json": b"{}"},
    "token corpus": {
        "train/web.bin": b"1",
        "train/web.idx": b"2",
        "tokenizer/tokenizer.json": b"{}",
        "manifest.json": b"{}",
    },
    "release": {
        "base/model.safetensors": b"m",
        "policy/model.safetensors": b"m",
        "MODEL_CARD.md": b"#",
    },
    "two levels": {"deep/er/y.bin": b"y", "x": b"x"},
    "empty files": {"zero": b"", "deep/zero": b"", "y": b"y"},
    "odd names": {
        name: name.encode()
        for name in ("a b/c#d+e%20", "ü", "[1]", "*", "q?x=1&y", "%41", "a=b;c", "..x", "~", "😀")
    },
    "many files": {f"{n % 7}/{n}": str(n).encode() for n in range(40)},
    "several parts": {"large": bytes(range(256)) * (PARTS // 256), "small": b"s"},
}


def publish(store: Store, files: Mapping[str, bytes], key: str = "work") -> RawCorpus:
    out = store.workspace(key).out
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
    return store.publish(RawCorpus, Draft(out, {"documents": len(files)}))


def read_all(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.fixture(params=["folder", "file://", "memory://", "s3://", "gs://"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param in SERVERS:
        return make_bucket(request, request.param)
    place = {"folder": tmp_path / "a store", "file://": f"file://{tmp_path}/a store"}
    return str(place.get(request.param, f"memory://{tmp_path.name}/a store"))


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_published_here_is_opened_there(root: str, shape: str, tmp_path: Path) -> None:
    files = SHAPES[shape]
    here, there = Store(root, tmp_path / "here"), Store(root, tmp_path / "there")
    artifact = publish(here, files)
    assert there.has(artifact)
    assert there.find_fault(artifact, verify=True) == ""
    assert read_all(there.open(artifact)) == files == read_all(here.open(artifact))
    assert {f.address: read_address(f.address) for f in there.list_files(artifact)} == {
        f.address: here.bring(f).read_bytes() for f in here.list_files(artifact)
    }
    assert artifact.digest == digest_of(manifest_of(here.open(artifact)))


def test_one_file_is_opened_without_the_others(bucket: str, tmp_path: Path) -> None:
    artifact = publish(Store(bucket, tmp_path / "here"), SHAPES["token corpus"])
    there = Store(bucket, tmp_path / "there")
    assert there.open_file(artifact, "train/web.idx").read_bytes() == b"2"
    assert [e.path for e in there.manifest(artifact)] == sorted(SHAPES["token corpus"])
    assert list(read_all(tmp_path / "there" / "objects")) == [
        f"{artifact.digest.removeprefix('sha256:')}/train/web.idx"
    ]
    with pytest.raises(FileNotFoundError, match=r"has no file train/web\.txt"):
        there.open_file(artifact, "train/web.txt")
    assert read_all(there.open(artifact)) == SHAPES["token corpus"]


def test_a_name_that_no_bucket_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'a\\nb' in .* must be printable"):
        publish(Store(tmp_path), {"a\nb": b""})


@pytest.mark.parametrize("root", ["ftp://host/x", "s3://", "hf://datasets/x"])
def test_a_root_that_is_not_supported_is_refused(root: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no place for a store: give a folder, or one of s3://"):
        Store(root, tmp_path)


def _every_third(request: Request) -> str:
    return "503" if request.number % 3 == 0 else ""


def _every_third_is_cut(request: Request) -> str:
    return CUT if request.method == "GET" and request.number % 3 == 0 else ""


@pytest.mark.parametrize("rule", [_every_third, _every_third_is_cut])
def test_a_server_that_often_fails_serves(s3: S3, bucket: str, rule: Rule, tmp_path: Path) -> None:
    s3.spoil(rule)
    files = SHAPES["several parts"] | SHAPES["one folder"]
    artifact = publish(Store(bucket, tmp_path / "here"), files)
    assert read_all(Store(bucket, tmp_path / "there").open(artifact)) == files


def _denied_manifest(request: Request) -> str:
    return "403" if request.method == "PUT" and "/manifests/" in request.path else ""


def _broken_after_five(request: Request) -> str:
    return "403" if request.method == "PUT" and request.number > 5 else ""


@pytest.mark.parametrize("rule", [_denied_manifest, _broken_after_five])
def test_a_failed_upload_is_seen_by_nobody(s3: S3, bucket: str, rule: Rule, tmp_path: Path) -> None:
    here, files = Store(bucket, tmp_path / "here"), SHAPES["many files"]
    s3.spoil(rule)
    with pytest.raises(Exception, match="403"):
        publish(here, files)
    s3.spoil(None)
    artifact = RawCorpus(digest=digest_of(manifest_of(tmp_path / "here" / "work" / "work" / "out")))
    for store in (here, Store(bucket, tmp_path / "here"), Store(bucket, tmp_path / "there")):
        assert "is not in the store" in store.find_fault(artifact)
        with pytest.raises(ArtifactMissingError):
            store.open(artifact)
    assert publish(here, files).digest == artifact.digest
    assert read_all(Store(bucket, tmp_path / "there").open(artifact)) == files


def test_flipped_on_the_way_once_is_fetched_again(s3: S3, bucket: str, tmp_path: Path) -> None:
    artifact = publish(Store(bucket, tmp_path / "here"), {"a": b"aaaa"})
    flipped: list[Request] = []

    def first_time(request: Request) -> str:
        if request.method != "GET" or "/objects/" not in request.path or flipped:
            return ""
        flipped.append(request)
        return FLIP

    s3.spoil(first_time)
    assert read_all(Store(bucket, tmp_path / "there").open(artifact)) == {"a": b"aaaa"}
    assert flipped


@pytest.mark.parametrize("damage", ["flipped", "cut", "lost", "all lost"])
def test_damage_in_the_bucket_is_found_and_named(bucket: str, damage: str, tmp_path: Path) -> None:
    artifact = publish(Store(bucket, tmp_path / "here"), {"sub/a": b"aaaa", "b": b"b"})
    there = Store(bucket, tmp_path / "there")
    (address,) = {f.address.removesuffix(f"/{f.name}") for f in there.list_files(artifact)}
    place = Bucket(address)
    if damage in ("flipped", "cut"):
        place.put("sub/a", b"aaab" if damage == "flipped" else b"aa")
    else:
        for name in ("sub/a", "b") if damage == "all lost" else ("sub/a",):
            place.delete(name)
    assert there.has(artifact) == (damage == "flipped"), "sizes are looked at"
    assert "sub/a" in there.find_fault(artifact, verify=True)
    with pytest.raises(ArtifactCorruptError, match=r"objects/.*(sub/a|b) is lost, or"):
        there.open(artifact)
    assert not list((tmp_path / "there").rglob("*.part"))


def test_an_interrupted_fetch_goes_on_where_it_was(s3: S3, bucket: str, tmp_path: Path) -> None:
    artifact = publish(Store(bucket, tmp_path / "here"), SHAPES["several parts"])

    s3.spoil(lambda request: "403" if request.range.startswith("bytes=8388608-") else "")
    with pytest.raises(Exception, match="403"):
        Store(bucket, tmp_path / "there").open(artifact)
    (left,) = [p.stat().st_size for p in (tmp_path / "there").rglob("*.part") if p.stat().st_size]
    s3.spoil(None)
    assert read_all(Store(bucket, tmp_path / "there").open(artifact)) == SHAPES["several parts"]
    assert left == 2 * 4 * 2**20
    assert s3.count("GET", "/large") == 1
    assert not list((tmp_path / "there").rglob("*.part"))


def test_a_changed_copy_is_fetched_anew(bucket: str, tmp_path: Path) -> None:
    artifact = publish(Store(bucket, tmp_path / "here"), {"a": b"aaaa"})
    copy = Store(bucket, tmp_path / "there").open(artifact) / "a"
    with copy.open("rb") as reader:
        copy.with_name("b").write_bytes(b"aaab")
        copy.with_name("b").rename(copy)
        assert (Store(bucket, tmp_path / "there").open(artifact) / "a").read_bytes() == b"aaaa"
        assert reader.read() == b"aaaa"


def test_processes_that_fetch_one_artifact_do_not_disturb_each_other(
    s3: S3, bucket: str, tmp_path: Path
) -> None:
    artifact = publish(
        Store(bucket, tmp_path / "here"), {str(n): str(n).encode() for n in range(NUM_FILES)}
    )
    s3.spoil(None)
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str] = context.Queue()
    place = (bucket, str(tmp_path / "node"), artifact.digest, results)
    workers = [context.Process(target=open_and_read, args=place) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert found == ["well"] * 3
    assert s3.count("GET", "/objects/") == NUM_FILES, "each file is fetched once"
    assert not list((tmp_path / "node").rglob("*.part"))


def test_two_that_publish_equal_bytes_at_once_both_have_them(bucket: str, tmp_path: Path) -> None:
    stores = [Store(bucket, tmp_path / name) for name in ("one", "two")]
    threads = [threading.Thread(target=publish, args=(s, SHAPES["many files"])) for s in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    artifact = publish(stores[0], SHAPES["many files"])
    for store in stores:
        assert read_all(store.open(artifact)) == SHAPES["many files"]


@pytest.mark.slow
def test_memory_does_not_grow_with_a_file(bucket: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = context.Queue()
    place = (bucket, str(tmp_path), 200 * 2**20, results)
    worker = context.Process(target=publish_and_open, args=place)
    worker.start()
    grown = results.get(timeout=600)
    worker.join()
    assert grown < 150 * 2**20
