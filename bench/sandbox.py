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
_NUM, _AT_A_TIME, _ROUNDS = 60, 4, 5
_PYTHON = ("/usr/bin/python3", "-I", "-c", _TRUSTING)
_JAIL = ("--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib")
_REST = ("--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")
_REMARKS = {
    "ours, tier A, two jobs": "cannot be forged",
    "ours, tier A, one job": "print(1)",
    "ours, tier B, two jobs": "cannot be forged",
    "ours, tier B, one job": "print(1)",
    "plain subprocess": "no isolation",
    "bubblewrap, cold": "no seccomp, no limits",
    "inspect_ai, local": "no isolation",
}


def measure() -> list[Row]:
    """Seconds a verdict, at full load."""
    jailed = ("/usr/bin/bwrap", *_JAIL, *_REST, *_PYTHON)
    with Sandbox.start(("A",)) as strong, Sandbox.start(("B",)) as weak:
        works: dict[str, Callable[[], object]] = {
            "ours, tier A, two jobs": lambda: _judge(strong),
            "ours, tier A, one job": lambda: strong.run("print(1)"),
            "ours, tier B, two jobs": lambda: _judge(weak),
            "ours, tier B, one job": lambda: weak.run("print(1)"),
            "plain subprocess": lambda: _run(_PYTHON),
            "bubblewrap, cold": lambda: _run(jailed),
        }
        rows = [_row(name, seconds) for name, seconds in _best(works).items()]
    return [*rows, _row("inspect_ai, local", _inspect())]


def _row(name: str, seconds: float) -> Row:
    return Row(name, seconds, f"{1 / seconds:.0f}/s, {_REMARKS[name]}")


def _best(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds a call at full load, the best of some rounds, each of which takes turns."""
    for work in works.values():  # warm up
        work()
    rounds = [{name: _round(work) for name, work in works.items()} for _ in range(_ROUNDS)]
    return {name: min(each[name] for each in rounds) for name in works}


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
