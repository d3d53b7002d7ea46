"""States of unfinished work: whole or not there, on whatever machine."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k2core.store import Garbage, States, Store
from tests.k2core.store.conftest import SERVERS, make_bucket
from tests.s3 import S3


@pytest.fixture(params=["folder", "memory://", "s3://", "gs://"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param in SERVERS:
        return make_bucket(request, request.param)
    return str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path.name}"


def write_set(states: States, name: str, keep: int) -> None:
    for rank in range(2):
        with states.writing(f"{name}/rank-{rank}") as path:
            path.write_text(f"{name} {rank}")
    states.seal(name, keep)


def test_another_machine_goes_on_from_the_newest_set(root: str, tmp_path: Path) -> None:
    here, there = (Store(root, tmp_path / name).states("key") for name in ("here", "there"))
    here.put("refused/step-000003.json", b"{}")
    for step in (4, 8, 12):
        write_set(here, f"step-{step:06d}", keep=2)
    with here.writing("step-000016/rank-0") as path:
        path.write_text("all that was written before a kill")
    assert there.sealed() == ["step-000008", "step-000012"]
    assert there.names("step-000012") == ["step-000012/rank-0", "step-000012/rank-1"]
    found = there.fetch("step-000012/rank-1")
    assert (found.name, found.read_text()) == ("rank-1", "step-000012 1")
    assert there.read("step-000012/rank-1", 5, 11) == b"000012"
    there.delete("step-000016")
    write_set(there, "step-000016", keep=1)
    assert here.sealed() == ["step-000016"]
    assert here.names() == ["refused/step-000003.json", "step-000016/rank-0", "step-000016/rank-1"]
    assert here.fetch("step-000016/rank-0").read_text() == "step-000016 0"


def test_what_is_written_anew_is_what_is_read(root: str, tmp_path: Path) -> None:
    here, there = (Store(root, tmp_path / name).states("key") for name in ("here", "there"))
    for content in (b"first", b"other", b"", b"\0" * 10):
        here.put("a b/c#%20", content)
        assert there.read("a b/c#%20") == content == there.fetch("a b/c#%20").read_bytes()


def test_a_block_that_fails_leaves_what_was_there(root: str, tmp_path: Path) -> None:
    states = Store(root, tmp_path / "here").states("key")
    states.put("log", b"before")

    def write_half() -> None:
        with states.writing("log") as path:
            path.write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_half()
    assert states.read("log") == b"before"
    assert states.names() == ["log"]
    for missing in (states.read, states.fetch):
        with pytest.raises(FileNotFoundError):
            missing("nothing")


def test_states_go_when_the_work_is_done_and_no_other_works_do(root: str, tmp_path: Path) -> None:
    store = Store(root, tmp_path / "here")
    for key in ("key", "key-2"):
        write_set(store.workspace(key).states, "step-1", keep=1)
    store.clear("key")
    assert store.states("key").sealed() == []
    assert store.states("key").names() == []
    assert store.workspace("key-2").states.sealed() == ["step-1"]


def test_a_work_is_looked_at_while_others_write_and_delete(tmp_path: Path) -> None:
    store, ended = Store(str(tmp_path / "store"), tmp_path / "disk"), threading.Event()

    def work() -> None:
        states, number = store.states("key"), 0
        while not ended.is_set():
            number += 1
            write_set(states, f"step-{number:08d}", keep=1)

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            looked = [len(store.states("key").sealed()) <= 2 for _ in range(500)]
            looked += [Garbage(store).works().keys() <= {"key"} for _ in range(100)]
        finally:
            ended.set()
        working.result()
    assert all(looked)


def test_an_interrupted_fetch_of_a_state_goes_on(s3: S3, bucket: str, tmp_path: Path) -> None:
    content = bytes(range(250)) * 50_000
    with Store(bucket, tmp_path / "here").states("key").writing("large") as path:
        path.write_bytes(content)
    there = Store(bucket, tmp_path / "there").states("key")
    s3.spoil(lambda request: "403" if request.range.startswith("bytes=8388608-") else "")
    with pytest.raises(Exception, match="403"):
        there.fetch("large")
    s3.spoil(None)
    assert there.fetch("large").read_bytes() == content
    assert s3.count("GET", "large") == 1
