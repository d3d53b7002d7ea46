"""Processes that run the toy pipeline in a home of their own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def open_toys(place: Path, **others: str) -> subprocess.Popen[str]:
    """A process that waits for runs."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("K2_", "MLFLOW"))} | others
    env |= {"K2_HOME": str(place), "PYTHONPATH": str(ROOT), "FLYTE_DISABLE_RICH_LOGGING": "1"}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "tasks" / "toy_pipeline.py")],
        cwd=place,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_toy(
    place: Path, name: str, length: int, pause: float = 0.0, **others: str
) -> subprocess.Popen[str]:
    """A process with one run."""
    process = open_toys(place, **others)
    assert process.stdin is not None
    process.stdin.write(f"{name} {length} {pause}\n")
    process.stdin.flush()
    return process
