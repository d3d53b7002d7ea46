"""Ten thousand jobs and what they leave behind: descriptors, processes, mounts, memory.

    python -m bench.soak [NUM_JOBS] [TIER]

A third of the jobs are honest verdicts (two jobs each); the others end badly: by exit, by signal,
over a limit of memory or output. Not part of `make bench`, since it takes minutes.
"""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, cast

import psutil

from k2core.sandbox import Limits, Sandbox
from k2core.sandbox.tiers import Tier

_LIMITS = Limits(cpu_s=2, wall_s=20.0, memory_mb=256, output_kb=16)
_SCRIPTS = (
    "print(1)",
    "import os\nos._exit(3)",
    "import ctypes\nctypes.string_at(0)",
    "x = bytearray(1 << 30)",
    "while True: print('x' * 1000)",
    "open('/tmp/left', 'wb').write(bytes(1 << 20))",
)


class Left(NamedTuple):
    """What this process and its zygote hold."""

    descriptors: int
    zygote_descriptors: int
    processes: int
    mounts: int
    driver_mb: float
    zygote_mb: float


def soak(sandbox: Sandbox, num_jobs: int) -> None:
    """Run that many jobs, four at a time; a wrong verdict is an error."""

    def work(index: int) -> int:
        if index % 3 == 0:
            right = index % 2 == 0
            solution = f"def f(x):\n    return x + {1 if right else 2}"
            verdict = sandbox.judge_calls(solution, ["assert f(1) == 2"], ("f",), _LIMITS)
            if verdict.reward != float(right):
                raise RuntimeError(f"job {index}: {verdict}")
            return 2
        sandbox.run(_SCRIPTS[index % len(_SCRIPTS)], limits=_LIMITS)
        return 1

    with ThreadPoolExecutor(4) as pool:
        done = 0
        for start in range(0, num_jobs, 400):
            if done >= num_jobs:
                break
            done += sum(pool.map(work, range(start, start + 400)))


def look(sandbox: Sandbox) -> Left:
    """Count, a moment later: namespaces end after the answer."""
    time.sleep(1.0)
    me = psutil.Process()
    children = me.children(recursive=True)
    zygote = max(children, key=lambda process: process.create_time())
    return Left(
        me.num_fds(),
        sum(process.num_fds() for process in children),
        len(children),
        _num_own_mounts(zygote.pid),
        me.memory_info().rss / 2**20,
        sum(process.memory_info().rss for process in children) / 2**20,
    )


def _num_own_mounts(pid: int) -> int:
    """Mounts in a namespace of its own; 0 where it has none: the machine's are not its."""
    if Path(f"/proc/{pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink():
        return 0
    return len(Path(f"/proc/{pid}/mounts").read_text().splitlines())


def main(arguments: Sequence[str]) -> None:
    """Warm up, count, run, count again; exit with 1 if something grew."""
    num = int(arguments[0]) if arguments else 10_000
    tier = cast(Tier, arguments[1]) if arguments[1:] else "A"
    with Sandbox.start((tier,)) as sandbox:
        soak(sandbox, 800)
        before, started = look(sandbox), time.perf_counter()
        soak(sandbox, num)
        seconds, after = time.perf_counter() - started, look(sandbox)
    print(f"tier {tier}: {num} jobs in {seconds:.0f} s, {num / seconds:.0f} a second")
    for name, was, now in zip(Left._fields, before, after, strict=True):
        print(f"  {name:20s} {was:9.1f} -> {now:9.1f}")
    counts = slice(0, 4)
    grown = before[counts] != after[counts] or after.driver_mb > before.driver_mb + 16
    if grown or after.zygote_mb > before.zygote_mb + 16:
        raise SystemExit(1)
    print("no leak")


if __name__ == "__main__":
    main(sys.argv[1:])
