"""Ways to isolate a job, strongest first, and the commands that start their zygotes."""

import sys
from typing import Literal

Tier = Literal["A", "B", "none"]

_PYTHON = "/usr/bin/python3"
_BWRAP = "/usr/bin/bwrap"

NOTHING_WORKS = """\
no sandbox works on this machine, so model-written code is not run:
{failures}
Tier A needs bubblewrap (`apt-get install bubblewrap`), /usr/bin/python3 and user namespaces \
(`sysctl kernel.unprivileged_userns_clone=1`; on Ubuntu also \
`sysctl kernel.apparmor_restrict_unprivileged_userns=0`). \
Tier B needs Landlock (Linux 5.13 or newer, `landlock` in the kernel's lsm= list) and \
/usr/bin/python3. To run without any isolation, say so explicitly: Sandbox.start(unsafe=True)."""


def command_of(tier: Tier, control: int, bundle: int, setup: str) -> list[str]:
    """The command of a zygote that serves on `control` and whose code is `bundle`."""
    if setup:
        mode = "B" if tier == "A" else tier
        path = f"/proc/self/fd/{bundle}"
        # Not `-I`: sets are to be gone through in one order in each process (`PYTHONHASHSEED`).
        return [sys.executable, "-sP", "-W", "ignore", path, str(control), mode, setup]
    python = [_PYTHON, "-I", f"/proc/self/fd/{bundle}", str(control), tier]
    if tier != "A":
        return python
    command = [_BWRAP, "--new-session", "--clearenv", "--hostname", "sandbox"]
    namespaces = ("user", "pid", "net", "ipc", "uts", "cgroup-try")
    command += [f"--unshare-{namespace}" for namespace in namespaces]
    # The job's own user namespace needs capabilities over its mounts, inside this one only.
    command += ["--cap-add", "ALL"]
    for name, value in (("LANG", "C.UTF-8"), ("PATH", "/usr/bin:/bin"), ("HOME", "/box")):
        command += ["--setenv", name, value]
    command += ["--ro-bind", "/usr", "/usr", "--ro-bind", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for folder in ("lib", "lib64", "bin"):
        command += ["--symlink", f"usr/{folder}", f"/{folder}"]
    command += ["--proc", "/proc", "--dev", "/dev", "--dir", "/box", "--dir", "/tmp"]
    return [*command, "--remount-ro", "/", "--chdir", "/box", *python]
