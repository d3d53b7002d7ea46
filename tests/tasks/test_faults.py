"""What a run does about a tracking server that is away, a store that fails, a full disk."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.s3 import S3, Request
from tests.tasks.toys import ROOT, start_toy

pytestmark = pytest.mark.slow

DIGEST = "sha256:46b3956f8e9d9cc22608f96b33319bf95a91d048bfac6ef542982d8731beb2eb"
"""What the toy pipeline makes of three characters."""


class Server:
    """MLflow's own server, in a process that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        database = f"sqlite:///{self._folder / 'mlflow.db'}"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--port", str(self.port)),
                *("--backend-store-uri", database, "--workers", "1"),
                *("--artifacts-destination", str(self._folder / "kept")),
            ],
            env={k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(3000):
            with suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=1):
                return process
            time.sleep(0.1)
        raise AssertionError("MLflow's server does not start")

    def kill(self) -> None:
        """As a crash of its machine would."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def again(self) -> None:
        """Start it where it was."""
        self._process = self._start()


@pytest.mark.parametrize(
    ("killed", "again"),
    [("step 1", "step 7"), ("begun", "step 1"), ("step 1", "double"), ("begun", "double")],
    ids=["a stage works", "a stage starts", "the next starts", "both"],
)
def test_a_server_that_is_killed_holds_up_nobody(place: Path, killed: str, again: str) -> None:
    server = Server(place)
    try:
        run = start_toy(place, "one", 8, 1.0, MLFLOW_TRACKING_URI=server.url)
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith(killed):
                server.kill()
            if line.startswith(again):  # what came before was done without it
                server.again()
                break
        out, err = run.communicate(timeout=300)
        done = start_toy(place, "two", 8, 1.0, MLFLOW_TRACKING_URI=server.url)
        assert done.stdout is not None
        assert done.stdout.readline() == "begun\n"
        server.kill()  # both answers of the cache are to be recorded
        assert done.stderr is not None
        assert "MLflow does not answer at" in done.stderr.readline()
        server.again()
        second, _ = done.communicate(timeout=300)
    finally:
        server.kill()
    assert run.returncode == 0, err
    result = out.splitlines()[-1].removeprefix("RESULT ")
    assert json.loads(result)["counts"] == {"characters": 16}
    assert second.splitlines() == [f"RESULT {result}"]
    assert [err.count(f"MLflow {word}") for word in ("does not answer", "answers again")] == [1, 1]
    assert "Traceback" not in err
    with closing(sqlite3.connect(place / "mlflow.db")) as tables:
        runs = tables.execute("select name, status from runs").fetchall()
        assert sorted(runs) == [
            (name, "FINISHED")
            for name in ("clean", "clean (cached)", "ingest", "ingest (cached)", "one", "two")
        ]
        points = tables.execute("select step from metrics where key = 'loss' order by step")
        assert [step for (step,) in points] == list(range(8))
        below = tables.execute("select count(*) from tags where key = 'mlflow.parentRunId'")
        assert below.fetchone() == (4,)


def test_a_store_that_fails_every_third_request_changes_nothing(
    place: Path, bucket: str, s3: S3
) -> None:
    total = 0

    def fail_thirds(request: Request) -> str:
        nonlocal total
        total += 1
        return "" if total % 3 else "503"

    s3.spoil(fail_thirds)
    out, err = start_toy(place, "one", 3, K2_STORE=bucket).communicate(timeout=300)
    assert json.loads(out.splitlines()[-1].removeprefix("RESULT "))["digest"] == DIGEST, err
    assert total > 20


@pytest.mark.parametrize("debug", [{}, {"K2_DEBUG": "1"}], ids=["plain", "debug"])
def test_a_stage_that_fails_in_a_pipeline_is_one_message(
    place: Path, debug: dict[str, str]
) -> None:
    run = start_toy(place, "one", 0, 0.0, **debug)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 2
    _, _, told = err.partition("error: ")
    assert told.startswith(
        "ingest: ZeroDivisionError: no share of nothing\nWhat was done is kept: the same command"
    )
    assert ("in write_text" in err) is bool(debug)
    with closing(sqlite3.connect(place / "mlflow.db")) as tables:
        query = "select value from tags where key = 'k2.error'"
        assert tables.execute(query).fetchall() == [("ZeroDivisionError: no share of nothing",)]


FILL = """
mount -t tmpfs -o size=8m none "$1" && cd "$1"
printf 'local:\\n  persistence: true\\n' > config.yaml
cp "$2" mlflow.db
head -c $(($(df --output=avail -B1 . | tail -1) - $3 * 1024)) /dev/zero > ballast
echo "one 3 0" | "$4" "$5" ; echo "ENDED $?"
rm ballast
echo "two 3 0" | "$4" "$5"
"""
"""A disk with some KB left, a run on it, room, and the run again."""


def in_a_namespace(*command: str, **variables: str) -> tuple[str, str]:
    """What a command says that may mount: in a namespace of its own, which goes with it."""
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("mounting takes a namespace, which this system does not give")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("K2_", "MLFLOW"))}
    env |= {"PYTHONPATH": str(ROOT), "FLYTE_DISABLE_RICH_LOGGING": "1", "COLUMNS": "300"}
    done = subprocess.run(
        ["unshare", "-rm", *command],
        env=env | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize("left", [0, 40, 64, 96])
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path, empty_database: Path, left: int
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    toy = ROOT / "tests" / "tasks" / "toy_pipeline.py"
    arguments = home, empty_database, left, sys.executable, toy
    out, err = in_a_namespace("bash", "-c", FILL, "-", *map(str, arguments), K2_HOME=str(home))
    _, _, second = out.partition("ENDED ")
    assert second.startswith("2"), "the disk was to be too small"
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1, err
    assert re.search(
        rf"no room is left for {home}\S*: it takes .*, and [\d,]+ bytes are free there. Make room",
        told[0],
    )
    assert "Traceback" not in err
    assert json.loads(second.splitlines()[-1].removeprefix("RESULT "))["digest"] == DIGEST, err


CHECKS = """
mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"
shift
for words in "$@"; do
    echo "== $words"; "$K2_PYTHON" -m workflows.cli $words 2>&1; echo "ENDED $?"
done
"""
LOOKS = ("runs", "index", "lineage one-run", "gc", "diff latest latest", "verify one-run")
WRITES = ("run --recipe smoke", "keys new", "rerun ingest --from one-run")


def test_a_home_that_may_only_be_read_is_read_and_refused(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(empty_database, home)
    monkeypatch.setenv("K2_HOME", str(home))
    from infra.lineage import pipeline_run
    from schemas.artifacts import RawCorpus
    from schemas.recipe import Recipe
    from tests.workflows.small_run import finish, publish

    recipe = Recipe().model_dump(mode="json")
    with pipeline_run("one-run", recipe):
        made = publish(RawCorpus, {"sources.json": b"{}"})
        finish("ingest", {}, {"raw_corpus": made}, "one-run")
    commands = (*LOOKS, *WRITES)
    out, _ = in_a_namespace(
        *("bash", "-c", CHECKS, "-", str(home), *commands),
        K2_HOME=str(home),
        K2_PYTHON=sys.executable,
    )
    said = dict(part.split("\n", 1) for part in out.split("== ")[1:])
    for words in LOOKS:
        assert said[words].endswith("ENDED 0\n"), said[words]
    for words in WRITES:
        assert said[words].startswith(f"error: {home}/"), said[words]
        assert "cannot be written or opened by this user" in said[words]
        assert said[words].endswith("ENDED 2\n")
