"""Keys are planted where a user or a server may put one, and looked for in all that is written."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).parents[2]
KEY = "sk-planted-0123456789abcdef"


class Echo(BaseHTTPRequestHandler):
    """Says the caller's key in every answer, which every other time is a refusal."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    asked = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        Echo.asked += 1
        key = self.headers["authorization"]
        message = {"role": "assistant", "content": f"Your key is {key}."}
        refused = Echo.asked % 3 == 0
        body: dict[str, object] = {"error": {"message": f"bad key {key}"}}
        if not refused:
            body = {"choices": [{"message": message, "finish_reason": "stop"}]}
        content = json.dumps(body).encode()
        self.send_response(401 if refused else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def synthesize(url: str, home: Path, max_faulty: float) -> str:
    """Run the stage in a home of its own, through Flyte and MLflow; what it printed."""
    agent = {"url": url, "model": "m", "api_key_variable": "PLANTED", "max_retries": 0}
    settings = {
        "agent": agent,
        "num_scenarios": 0,
        "live_per_server": 0,
        "distractor_frac": 0,
        "max_faulty_frac": max_faulty,
    }
    options = [f"--set=synthesize.{name}={json.dumps(value)}" for name, value in settings.items()]
    named = {"K2_HOME": str(home), "HOME": str(home), "PLANTED": KEY}
    ran = subprocess.run(
        [sys.executable, "-m", "workflows.cli", "synthesize", "--count", "6", *options],
        cwd=ROOT,
        env={**os.environ, **named},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout + ran.stderr


def read(path: Path) -> bytes:
    """A file's bytes; of a table its cells, which are compressed there."""
    if path.suffix == ".parquet":
        return json.dumps(pl.read_parquet(path).to_dicts(), default=str).encode()
    return path.read_bytes()


def list_leaks(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file() and KEY.encode() in read(path)]


@pytest.mark.slow
def test_no_key_is_written_or_printed(address: str, tmp_path: Path) -> None:
    said = synthesize(f"http://{address}", tmp_path, 1.0)
    assert "rejected" in said, said[-2000:]
    assert KEY not in said
    assert list_leaks(tmp_path) == []
    tables = [read(path) for path in tmp_path.rglob("*.parquet")]
    assert any(b"<key>" in table for table in tables)  # it was there to be found


@pytest.mark.slow
def test_no_key_is_in_what_a_failure_leaves(address: str, tmp_path: Path) -> None:
    said = synthesize(f"http://{address}", tmp_path, 0.0)
    assert "bad key" in said.replace("\n", " "), said[-2000:]
    assert KEY not in said
    assert list_leaks(tmp_path) == []


@pytest.mark.parametrize("url", [f"http://user:{KEY}@h/v1", f"http://h/v1?api_key={KEY}"])
def test_a_key_in_an_address_is_refused_before_anything_is_written(
    url: str, tmp_path: Path
) -> None:
    said = synthesize(url, tmp_path, 1.0)
    assert "api_key_variable" in said
    assert KEY not in said
    assert list_leaks(tmp_path) == []
