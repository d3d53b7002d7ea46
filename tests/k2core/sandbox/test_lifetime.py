"""What a sandbox leaves behind: nothing, when it is closed and when its driver is killed."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k2core.sandbox import Limits, Sandbox, SandboxError
from k2core.sandbox.tiers import Tier

TIERS: list[Tier] = ["A", "B"]
_DRIVER = """
import sys, threading, time
from k2core.sandbox import Limits, Sandbox
s = Sandbox.start((sys.argv[1],))
def job(): s.run("import time\\nwhile True: time.sleep(0.01)", limits=Limits(60, 60.0))
for _ in range(3): threading.Thread(target=job, daemon=True).start()
time.sleep(0.5)
print("started", flush=True)
time.sleep(60)
"""


def processes() -> dict[int, int]:
    """All living processes of the machine, each with its parent."""
    found = {}
    for process in Path("/proc").iterdir():
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # no process, or one that ended
            continue
        if process.name.isdigit() and fields[0] != "Z":
            found[int(process.name)] = int(fields[1])
    return found


def descendants(root: int) -> set[int]:
    """Living processes below this one, whatever namespace they are in."""
    parents, found = processes(), {root}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}


def lasting(once: set[int]) -> set[int]:
    """Those that still live some seconds later, under whatever parent."""
    for _ in range(100):
        if not (left := once & processes().keys()):
            break
        time.sleep(0.05)
    return left


@pytest.mark.parametrize("tier", TIERS)
def test_fifty_opened_and_closed_leave_nothing(tier: Tier) -> None:
    before, threads, seen = descendants(os.getpid()), threading.active_count(), set[int]()
    descriptors = len([*Path("/proc/self/fd").iterdir()])

    def once(_: int) -> str:
        with Sandbox.start((tier,)) as sandbox:
            seen.update(descendants(os.getpid()))
            return sandbox.run("print(1)").stdout

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(once, range(50))) == ["1\n"] * 50
    assert len(seen - before) >= 50
    assert not lasting(seen - before)
    assert threading.active_count() == threads
    assert len([*Path("/proc/self/fd").iterdir()]) == descriptors


@pytest.mark.parametrize("tier", TIERS)
def test_who_waits_while_it_closes_is_told(tier: Tier) -> None:
    sandbox = Sandbox.start((tier,))
    endless = "import time\nwhile True: time.sleep(0.01)"
    with ThreadPoolExecutor(3) as pool:
        ran = pool.submit(sandbox.run, endless, limits=Limits(60, 60.0))
        judged = pool.submit(sandbox.judge_calls, endless, ["f()"], ("f",), Limits(60, 60.0))
        time.sleep(0.4)
        sandbox.close()
        with pytest.raises(SandboxError):
            ran.result(10)
        assert judged.result(10).is_faulty
    with pytest.raises(SandboxError, match="closed"):
        sandbox.run("print(1)")
    sandbox.close()


@pytest.mark.parametrize("tier", TIERS)
def test_all_die_with_a_driver_that_is_killed(tier: Tier) -> None:
    command = [sys.executable, "-c", _DRIVER, tier]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "started\n"
        started = descendants(driver.pid)
        driver.kill()
    assert len(started) >= 4  # the zygote and its jobs
    assert not lasting(started)


def test_zygotes_of_a_setup_end_too() -> None:
    before = descendants(os.getpid())
    with Sandbox.start(("B",)) as sandbox:
        sandbox.run_prepared("x = 1", "print(1)", "")
        mine = descendants(os.getpid()) - before
        assert len(mine) >= 2
    assert not lasting(mine)
