"""`print(1)` in a jail of its own: our zygote against fresh processes."""

import shutil
import subprocess

from bench.table import Row, median_seconds
from k2core.sandbox import Sandbox

_PROGRAM = "print(1)"
_PYTHON = ("/usr/bin/python3", "-I", "-c", _PROGRAM)
_JAIL = ("--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib")
_REST = ("--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")


def measure() -> list[Row]:
    """Time of one job, one after another."""
    with Sandbox.start() as sandbox:
        ours = median_seconds(lambda: sandbox.run(_PROGRAM), 40)
        rows = [Row("ours", ours, f"tier {sandbox.tier}, seccomp, fresh namespaces")]
    cold = median_seconds(lambda: _run(_PYTHON), 40)
    rows.append(Row("bare subprocess", cold, "no isolation"))
    if bubblewrap := shutil.which("bwrap"):
        jailed = median_seconds(lambda: _run((bubblewrap, *_JAIL, *_REST, *_PYTHON)), 40)
        rows.append(Row("bubblewrap, cold", jailed, "namespaces, no seccomp, no limits"))
    return rows


def _run(command: tuple[str, ...]) -> None:
    subprocess.run(command, check=True, capture_output=True)
