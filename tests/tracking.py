"""MLflow's own server over PostgreSQL with its files in a bucket, all on this machine."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.s3 import S3


@contextmanager
def tracking_server(tmp_path: Path, bucket: str, s3: S3) -> Iterator[str]:
    """MLflow over PostgreSQL, its files in a bucket; yields its address."""
    if not shutil.which("initdb") or not shutil.which("pg_ctl"):
        pytest.skip("PostgreSQL's initdb and pg_ctl are not on this machine")
    place, port, own = tmp_path / "pg", _free_port(), _free_port()
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] * (os.getuid() == 0)
    place.mkdir()
    temporary = Path(tempfile.gettempdir())
    for folder in (place, *place.parents):
        if folder in (temporary, *temporary.parents):
            break
        folder.chmod(0o755)
    if user:
        shutil.chown(place, 65534, 65534)
    data = str(place / "data")
    made = ["initdb", "-D", data, "-U", "k2", "-A", "trust", "-E", "UTF8"]
    subprocess.run([*user, *made], check=True, capture_output=True)
    options = f"-p {port} -k {place} -c listen_addresses=127.0.0.1"
    log = str(place / "log")
    start = ["pg_ctl", "-D", data, "-o", options, "-l", log, "-w", "start"]
    subprocess.run([*user, *start], check=True, stdout=subprocess.DEVNULL)
    backend = f"postgresql+psycopg2://k2@127.0.0.1:{port}/postgres"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend]
    command += ["--artifacts-destination", f"{bucket.replace(' ', '-')}/mlflow"]
    command += ["--host", "127.0.0.1", "--port", str(own), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_S3_ENDPOINT_URL": s3.endpoint}
    with (tmp_path / "server.log").open("w") as out:
        running = subprocess.Popen(
            command, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        _wait(f"http://127.0.0.1:{own}/health", tmp_path / "server.log")
        yield f"http://127.0.0.1:{own}"
    finally:
        os.killpg(running.pid, 15)
        running.wait(30)
        stop = ["pg_ctl", "-D", data, "-m", "immediate", "stop"]
        subprocess.run([*user, *stop], check=False, capture_output=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(address: str, log: Path) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(log.read_text()[-2000:])
