"""A stage's life around its work: cache, lineage, killed runs, lost artifacts."""

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from k2core.store import Store
from schemas.base import Artifact

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path, empty_database: Path) -> Path:
    (tmp_path / "config.yaml").write_text("local:\n  persistence: true\n")
    shutil.copy(empty_database, tmp_path)
    return tmp_path


def _start(
    place: Path, name: str, length: int, pause: float = 0.0, **others: str
) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("K2_", "MLFLOW"))} | others
    env |= {"K2_HOME": str(place), "PYTHONPATH": str(ROOT), "FLYTE_DISABLE_RICH_LOGGING": "1"}
    script = ROOT / "tests" / "tasks" / "toy_pipeline.py"
    return subprocess.Popen(
        [sys.executable, str(script), name, str(length), str(pause)],
        cwd=place,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(
    place: Path, name: str, length: int = 3, pause: float = 0.0
) -> tuple[dict[str, object], str]:
    process = _start(place, name, length, pause)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    result = next(line for line in out.splitlines() if line.startswith("RESULT "))
    return json.loads(result.removeprefix("RESULT ")), out


def _stage_runs(place: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(place / "mlflow.db") as db:
        return list(db.execute("select name, status from runs order by start_time"))


def test_second_run_is_cached_and_still_has_its_lineage(place: Path) -> None:
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


def test_a_lost_or_damaged_artifact_is_made_again_and_said(place: Path) -> None:
    first, _ = _run(place, "0")
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
    for number, (said, damage) in enumerate(damages.items(), start=1):
        damage()
        process = _start(place, str(number), 3)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert f"clean is run again: clean_corpus sha256:{digest}" in err
        assert said in err
        assert json.loads(out.splitlines()[-1].removeprefix("RESULT ")) == first
        started = [name for name, _ in _stage_runs(place)[3 * number :]]
        assert started == [str(number), "ingest (cached)", "clean"]
    _assert_all_published_is_whole(place)


def test_a_new_store_does_not_believe_the_old_cache(place: Path) -> None:
    first, _ = _run(place, "one")
    shutil.rmtree(place / "store")
    second, out = _run(place, "two")
    assert second == first
    assert "step 0" in out


def test_a_killed_run_resumes_and_publishes_nothing_half(place: Path) -> None:
    process = _start(place, "one", 6, pause=0.4)
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
        process = _start(place, f"attempt-{attempt}", 5, 0.1)
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
    return _start(home, name, 6, 1.5, K2_STORE=bucket, MLFLOW_TRACKING_URI=uri)


def _wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    assert any(said.startswith(line) for said in process.stdout), f"{line} never came"


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
