"""A stage's life around its work: cache, lineage, killed runs, lost artifacts."""

import json
import random
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from k2core.store import Store
from schemas.base import Artifact
from tests.tasks.toys import open_toys, start_toy


def _run(
    place: Path, name: str, length: int = 3, pause: float = 0.0
) -> tuple[dict[str, object], str]:
    process = start_toy(place, name, length, pause)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    result = next(line for line in out.splitlines() if line.startswith("RESULT "))
    return json.loads(result.removeprefix("RESULT ")), out


class Runs:
    """One run after another in one process: what is kept between them is on disk."""

    def __init__(self, place: Path) -> None:
        self._process = open_toys(place)
        self.number = 0

    def next(self) -> tuple[dict[str, object], str]:
        """What it makes, and what it prints."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{self.number} 3 0\n")
        self._process.stdin.flush()
        self.number += 1
        said = ""
        for line in self._process.stdout:
            if line.startswith("RESULT "):
                return json.loads(line.removeprefix("RESULT ")), said
            said += line
        raise AssertionError(self._process.communicate()[1])

    def close(self) -> str:
        """What it said to the terminal, all of it."""
        _, err = self._process.communicate(timeout=120)
        assert self._process.returncode == 0, err
        return err


def _stage_runs(place: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(place / "mlflow.db") as db:
        return list(db.execute("select name, status from runs order by start_time"))


def test_a_second_run_is_cached_has_its_lineage_and_trusts_the_store_alone(place: Path) -> None:
    first, out = _run(place, "one")
    assert "step 0" in out
    second, out = _run(place, "two")
    assert second == first
    assert "step 0" not in out
    assert _stage_runs(place) == [
        ("one", "FINISHED"),
        ("ingest", "FINISHED"),
        ("clean", "FINISHED"),
        ("two", "FINISHED"),
        ("ingest (cached)", "FINISHED"),
        ("clean (cached)", "FINISHED"),
    ]
    with sqlite3.connect(place / "mlflow.db") as db:
        digests = [
            row[0] for row in db.execute("select digest from datasets where name='clean_corpus'")
        ]
        edges = db.execute("select count(*) from inputs").fetchone()[0]
    assert digests == [str(first["digest"]).removeprefix("sha256:")[:36]]
    assert edges >= 6
    with sqlite3.connect(place / "local-cache" / "cache.db") as db:
        hits = db.execute("select sum(cache_hit) from runs where run_name='two'").fetchone()[0]
    assert hits == 2
    assert (place / "reports" / "one" / "ingest.html").read_text().count("&lt;b&gt;") == 1

    shutil.rmtree(place / "store")  # a new store does not believe the old cache
    third, out = _run(place, "three")
    assert third == first
    assert "step 0" in out


def test_a_lost_or_damaged_artifact_is_made_again_and_said(place: Path) -> None:
    runs = Runs(place)
    first, _ = runs.next()
    digest = str(first["digest"]).removeprefix("sha256:")
    object_, manifest = place / "store" / "objects" / digest, place / "store" / "manifests"

    def flip() -> None:
        content = bytearray((object_ / "text").read_bytes())
        content[0] ^= 1
        (object_ / "text").write_bytes(content)

    damages: dict[str, Callable[[], object]] = {
        "text changed, lost or added": flip,
        "does not match": lambda: shutil.rmtree(object_),
        "is not in the store": (manifest / f"{digest}.json").unlink,
    }
    for number, damage in enumerate(damages.values(), start=1):
        damage()
        assert runs.next()[0] == first
        started = [name for name, _ in _stage_runs(place)[3 * number :]]
        assert started == [str(number), "ingest (cached)", "clean"]
        _assert_all_published_is_whole(place)
    said = runs.close().split(f"clean is run again: clean_corpus sha256:{digest}")[1:]
    for words, told in zip(damages, said, strict=True):
        assert words in told.splitlines()[0]


def test_a_killed_run_resumes_and_publishes_nothing_half(place: Path) -> None:
    process = start_toy(place, "one", 6, pause=0.4)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step 2"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list((place / "store" / "manifests").iterdir())
    result, out = _run(place, "two", 6, 0.4)
    assert "step 1" not in out
    assert "step 5" in out
    assert result["counts"] == {"characters": 12.0}
    statuses = dict(_stage_runs(place))
    assert ("ingest", "KILLED") in _stage_runs(place)
    assert statuses["clean"] == "FINISHED"
    assert not [p for p in (place / "store" / "work").iterdir() if p.is_dir()]


@pytest.mark.slow
def test_killed_at_random_points_it_still_ends_as_if_it_never_was(place: Path) -> None:
    rng = random.Random(11)
    for attempt in range(3):
        process = start_toy(place, f"attempt-{attempt}", 5, 0.1)
        try:
            process.wait(timeout=rng.uniform(2.0, 7.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        _assert_all_published_is_whole(place)
    result, _ = _run(place, "last", 5, 0.1)
    assert result["counts"] == {"characters": 10.0}
    _assert_all_published_is_whole(place)
    assert not [p for p in (place / "store" / "work").iterdir() if p.is_dir()]


def _assert_all_published_is_whole(place: Path) -> None:
    store = Store(place / "store")
    for manifest in (place / "store" / "manifests").glob("*.json"):
        store.open(Artifact(kind="any", digest=f"sha256:{manifest.stem}"))


def _start_machine(place: Path, bucket: str, name: str) -> subprocess.Popen[str]:
    """A machine of its own: what it shares with others are the bucket and MLflow."""
    home = place / name
    home.mkdir()
    shutil.copy(place / "config.yaml", home)
    uri = f"sqlite:///{place / 'mlflow.db'}"
    return start_toy(home, name, 6, 1.5, K2_STORE=bucket, MLFLOW_TRACKING_URI=uri)


def _wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    assert any(said.startswith(line) for said in process.stdout), f"{line} never came"


@pytest.mark.slow  # of the store alone: tests/k2core/store/test_lease.py
def test_two_machines_at_one_work_do_it_once(place: Path, bucket: str) -> None:
    machines = [_start_machine(place, bucket, name) for name in ("one", "two")]
    ends = [process.communicate(timeout=300) for process in machines]
    assert [process.returncode for process in machines] == [0, 0], ends
    (said,) = [err for _, err in ends if "ingest waits for" in err]
    pids = [process.pid for process in machines]
    assert re.search(rf"ingest waits for process ({pids[0]}|{pids[1]}) on ", said)
    assert ["step 5" in out for out, _ in ends].count(True) == 1, "one works"
    assert ends[0][0].splitlines()[-1] == ends[1][0].splitlines()[-1]
    assert {status for _, status in _stage_runs(place)} == {"FINISHED"}
    assert ("ingest (cached)", "FINISHED") in _stage_runs(place)


@pytest.mark.slow
def test_a_machine_lost_with_its_disk_is_replaced_by_one_that_waits(
    place: Path, bucket: str
) -> None:
    one = _start_machine(place, bucket, "one")
    _wait_for(one, "step 0")
    two = _start_machine(place, bucket, "two")
    _wait_for(one, "step 2")
    one.kill()
    one.communicate()
    shutil.rmtree(place / "one")
    out, err = two.communicate(timeout=180)
    assert two.returncode == 0, err
    assert "step 2" not in out
    assert "step 5" in out
    assert json.loads(out.splitlines()[-1].removeprefix("RESULT "))["counts"] == {"characters": 12}
    assert ("ingest", "KILLED") in _stage_runs(place)


def test_work_that_goes_further_has_the_family_of_the_shorter() -> None:
    from schemas.rl import RlConfig
    from tasks.work import record_of, work_key

    configs = RlConfig(), RlConfig(num_iterations=64), RlConfig(seed=1)
    records = [record_of("rl", "1", {"config": config}) for config in configs]
    assert len({work_key(record) for record in records}) == 3
    short, long, other = (work_key(record, RlConfig.extent) for record in records)
    assert short == long != other
