"""One process works on a key, whatever the machine; who waits goes on where a dead one was."""

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from k2core.store import Beat, LeaseLostError, Store
from k2core.store.bucket import Bucket
from tests.k2core.store.conftest import SERVERS, make_bucket
from tests.k2core.store.machines import BEAT, work_in_steps
from tests.s3 import LOST, S3, Request


@pytest.fixture(params=["folder", "memory://", "s3://", "gs://"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param in SERVERS:
        return make_bucket(request, request.param)
    return str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path.name}"


def test_of_two_machines_one_works_and_the_other_waits(root: str, tmp_path: Path) -> None:
    here, there = (Store(root, tmp_path / name, BEAT) for name in ("here", "there"))
    order: list[str] = []

    def work_there() -> None:
        with there.locked("key") as lease:
            order.append(f"there, waited {lease.waited} for process {os.getpid()}")
            assert lease.holder.startswith(f"process {os.getpid()} on ")

    with here.locked("key") as lease, there.locked("another key"):
        assert not lease.waited
        thread = threading.Thread(target=work_there)
        thread.start()
        time.sleep(1.2 * BEAT.patience)
        order.append("here")
        lease.check()
    thread.join()
    assert order == ["here", f"there, waited True for process {os.getpid()}"]
    with here.locked("key") as lease:
        assert not lease.waited


@pytest.mark.parametrize("kind", ["folder", "s3://", "gs://"])
def test_a_dead_ones_work_goes_on_from_its_last_state(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path / "store") if kind == "folder" else make_bucket(request, kind)
    spawn = multiprocessing.get_context("spawn")
    worker = spawn.Process(target=work_in_steps, args=(root, str(tmp_path / "dies")))
    worker.start()
    store = Store(root, tmp_path / "goes on", BEAT)
    deadline = time.monotonic() + 60
    while not store.states("key").sealed() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    with store.locked("key"):
        states = store.workspace("key").states
        newest = states.sealed("step-")[-1]
        assert states.fetch(f"{newest}/text").read_text() == f"of {newest}"
        states.delete("step-9")
        states.put("step-9/text", b"of another")
        states.seal("step-9", keep=1)
        assert states.sealed() == ["step-9"]


def test_a_silent_one_that_comes_back_is_told_and_seals_nothing(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Store(bucket, tmp_path / "here", Beat(3600, BEAT.patience))  # as if it had been stopped
    there = Store(bucket, tmp_path / "there", BEAT)
    monkeypatch.setattr("time.time", lambda: 0.0)  # a clock that is decades off changes nothing
    with here.locked("key") as lease:
        states = here.workspace("key").states
        states.put("step-1/text", b"old")
        with there.locked("key"):
            there.states("key").put("step-1/text", b"new")
            with pytest.raises(LeaseLostError, match="its work goes on there"):
                states.seal("step-1", keep=1)
            with pytest.raises(LeaseLostError):
                lease.check()
            assert there.states("key").sealed() == []
        with pytest.raises(LeaseLostError):
            lease.check()
    assert json.loads(Bucket(bucket).read("leases/key"))["id"] == ""


def test_a_write_whose_answer_was_lost_is_no_loss(s3: S3, bucket: str, tmp_path: Path) -> None:
    store = Store(bucket, tmp_path / "here", Beat(3600, 1))
    done: list[Request] = []

    def answer_is_lost(request: Request) -> str:
        # moto has the object by then; obstore tries again, and finds its own write in the way.
        if request.method != "PUT" or "/leases/" not in request.path or len(done) % 2:
            done.append(request)
            return ""
        done.append(request)
        return LOST

    s3.spoil(answer_is_lost)
    with store.locked("key") as lease:
        lease.check()
        lease.check()
    assert s3.count("PUT", "/leases/") >= 4


def test_a_lease_lives_on_a_server_that_often_fails(s3: S3, bucket: str, tmp_path: Path) -> None:
    s3.spoil(lambda request: "503" if request.number % 3 == 0 else "")
    here, there = (Store(bucket, tmp_path / n, Beat(0.1, 3)) for n in ("here", "there"))
    with here.locked("key") as lease:
        waiting = there.lease("key")
        for _ in range(6):
            assert not waiting.try_take()
            lease.check()
    assert there.lease("key").try_take()


def test_only_one_of_many_takes_over(bucket: str, tmp_path: Path) -> None:
    lost = Store(bucket, tmp_path / "dead", Beat(3600, 0.2)).lease("key")
    assert lost.try_take()
    leases = [Store(bucket, tmp_path / str(n), Beat(3600, 0.2)).lease("key") for n in range(5)]
    assert [lease.try_take() for lease in leases] == [False] * 5
    time.sleep(0.4)
    taken: list[bool] = []
    threads = [
        threading.Thread(target=lambda e: taken.append(e.try_take()), args=(each,))
        for each in leases
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 4 + [True]


def test_a_bucket_that_is_not_there_is_named_at_once(s3: S3, tmp_path: Path) -> None:
    store = Store(f"{s3.scheme}://no-bucket-of-ours/store", tmp_path)
    with pytest.raises(FileNotFoundError, match="no-bucket-of-ours/store: there is no such bucket"):
        store.lease("key").try_take()
