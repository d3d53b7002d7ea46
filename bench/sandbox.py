"""Verdicts on a right solution, 4 at a time: ours in two processes against fresh Pythons.

The peers trust an exit code and isolate nothing; ours isolates each of a verdict's two jobs.
inspect_ai lives in `.venv-bench`, made on first use from infra/locks/bench.txt.

    python -m bench.sandbox
"""

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bench.contest import ROOT, peer_python
from bench.table import Row, print_table
from k2core.sandbox import Sandbox

_SOLUTION = "def add(a, b):\n    return a + b\n"
_TESTS = ("assert add(1, 2) == 3", "assert add(-1, 1) == 0")
_TRUSTING = _SOLUTION + "\n".join(_TESTS)
_NUM, _AT_A_TIME = 200, 4
_PYTHON = ("/usr/bin/python3", "-I", "-c", _TRUSTING)
_JAIL = ("--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib")
_REST = ("--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")


def measure() -> list[Row]:
    """Seconds a verdict, at full load."""
    rows = []
    for tier in ("A", "B"):
        with Sandbox.start((tier,)) as sandbox:
            seconds = _rate(lambda s=sandbox: _judge(s))  # type: ignore[misc]
            rows.append(_row(f"ours, tier {tier}, two jobs", seconds, "cannot be forged"))
            alone = _rate(lambda s=sandbox: s.run("print(1)"))  # type: ignore[misc]
            rows.append(_row(f"ours, tier {tier}, one job", alone, "print(1)"))
    rows.append(_row("plain subprocess", _rate(lambda: _run(_PYTHON)), "no isolation"))
    jailed = ("/usr/bin/bwrap", *_JAIL, *_REST, *_PYTHON)
    rows.append(_row("bubblewrap, cold", _rate(lambda: _run(jailed)), "no seccomp, no limits"))
    rows.append(_row("inspect_ai, local", _inspect(), "no isolation"))
    return rows


def _row(name: str, seconds: float, remark: str) -> Row:
    return Row(name, seconds, f"{1 / seconds:.0f}/s, {remark}")


def _rate(work: Callable[[], object]) -> float:
    """Seconds a call at full load: the better of two rounds, after one call that warms up."""
    work()
    return min(_round(work), _round(work))


def _round(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        list(pool.map(lambda _: work(), range(_NUM)))
    return (time.perf_counter() - started) / _NUM


def _judge(sandbox: Sandbox) -> None:
    if sandbox.judge_calls(_SOLUTION, _TESTS, ("add",)).reward != 1.0:
        raise RuntimeError("a right solution was not rewarded")


def _run(command: tuple[str, ...]) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _inspect() -> float:
    """The same of the peer, in its own interpreter; NaN where it does not install."""
    try:
        python = peer_python()
    except subprocess.CalledProcessError:
        return float("nan")
    script = ROOT / "bench" / "peers" / "inspect_local.py"
    command = (python, script, str(_NUM), str(_AT_A_TIME), _TRUSTING)
    rounds = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in "12"]
    return min(float(done.stdout) for done in rounds) / _NUM


if __name__ == "__main__":
    table = measure()
    print_table((__doc__ or "").splitlines()[0], table)
    print(f"sandbox ratio={table[4].seconds / table[0].seconds:.2f}")
