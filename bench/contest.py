"""What benches against packages share: fresh processes on one core, and the peers' own interpreter.

Peers live in `.venv-bench`, made on first use from infra/locks/bench.txt. Those that share large
packages with this project see its own, too: `.venv-trl` holds what infra/locks/trl.txt adds.
"""

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, Literal

Result = dict[str, Any]
"""What a contestant measured: a JSON object, whose fields are its bench's."""
ROOT = Path(__file__).parent.parent
_ONE_CORE = {
    name: "1"
    for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "ARROW_NUM_THREADS", "RAYON_NUM_THREADS")
}


def run_alone(program: tuple[str, ...], result: Path) -> Result:
    """Run a contestant on one core, nothing of it warm, and read the JSON object that it writes.

    Raises:
        CalledProcessError: it failed; its messages have been shown.
    """
    core = str(max(os.sched_getaffinity(0)))
    environment = {**os.environ, **_ONE_CORE, "PYTHONPATH": str(ROOT)}
    command = ("taskset", "-c", core, *program)
    done = subprocess.run(command, check=False, env=environment, cwd=ROOT, stderr=subprocess.PIPE)
    if done.returncode:
        sys.stderr.buffer.write(done.stderr)
    done.check_returncode()
    found: Result = json.loads(result.read_text())
    return found


def run_ours(module: str, *arguments: str | Path) -> Result:
    """`python -m MODULE ARGUMENTS` alone; its last argument is the file it writes."""
    return run_alone((sys.executable, "-m", module, *map(str, arguments)), Path(arguments[-1]))


def run_peer(script: str, *arguments: str | Path, result: Path) -> Result:
    """A script of `bench/peers` alone, by the peers' interpreter."""
    path = ROOT / "bench" / "peers" / script
    return run_alone((str(peer_python()), str(path), *map(str, arguments)), result)


def peer_python(lock: Literal["bench", "trl"] = "bench") -> Path:
    """The peers' interpreter; installs them where the lock has changed.

    Args:
        lock: of infra/locks; all but `bench` add to this project's packages.

    Raises:
        CalledProcessError: they do not install.
    """
    pins, venv = ROOT / "infra" / "locks" / f"{lock}.txt", ROOT / f".venv-{lock}"
    stamp = venv / f"installed-{hashlib.sha256(pins.read_bytes()).hexdigest()[:12]}"
    python = venv / "bin" / "python"
    if not stamp.exists():
        subprocess.run((sys.executable, "-m", "venv", str(venv)), check=True)
        alone = lock == "bench"
        if not alone:
            (theirs,) = (venv / "lib").glob("python*/site-packages")
            (theirs / "ours.pth").write_text(sysconfig.get_path("purelib"))
        how = () if alone else ("--no-deps",)
        command = (str(python), "-m", "pip", "install", "-q", *how, "-r", str(pins))
        subprocess.run(command, check=True)
        stamp.touch()
    return python
