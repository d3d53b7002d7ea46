"""Steps by which a forked process gives up what a job may not have."""

import ctypes
import os
import resource
import signal
from typing import Any

from k2core.sandbox.inside import landlock

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000
_NOSUID, _NODEV, _NOEXEC = 2, 4, 8
_SET_PDEATHSIG, _SET_DUMPABLE, _SET_SECCOMP, _CAPBSET_DROP = 1, 4, 22, 24
_SET_NO_NEW_PRIVS, _CAP_AMBIENT, _AMBIENT_CLEAR_ALL = 38, 47, 4
_FILTER_MODE = 2
_CAPABILITY_VERSION = 0x20080522
READABLE = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom", "/dev/zero")
MAX_OPEN_FILES = 64
MAX_PROCESSES = 16
_JOB_USER = 60_001

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def die_with_parent() -> None:
    """Be killed when the parent ends, however it ends."""
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)


def hide() -> None:
    """Close `/proc/PID/*` of this process to its own user."""
    _prctl(_SET_DUMPABLE, 0)


def enter_namespaces() -> None:
    """New user, mount, process, IPC and host-name namespaces; the next fork is their process 1."""
    user, group = os.getuid(), os.getgid()
    flags = _NEWUSER | _NEWNS | _NEWPID | _NEWIPC | _NEWUTS
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"1000 {user} 1"),
        ("gid_map", f"1000 {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as stream:  # noqa: PTH123
            stream.write(text)


def mount_fresh(disk_mb: int) -> None:
    """An empty, capped, writable `/box`, `/tmp` and `/dev/shm`, and the namespace's own `/proc`."""
    # Without nr_inodes a job could fill the memory with empty files.
    options = f"size={disk_mb}m,nr_inodes=4096,mode=0777".encode()
    for folder in (b"/box", b"/tmp", b"/dev/shm"):
        _mount(b"tmpfs", folder, _NOSUID | _NODEV, options)
    _mount(b"proc", b"/proc", _NOSUID | _NODEV | _NOEXEC, None)
    os.chdir("/box")


def take_streams(payload: int, streams: tuple[int, int, int]) -> None:
    """Keep standard input, output, error, and the payload as descriptor 3; close all others."""
    for target, source in enumerate((*streams, payload)):
        os.dup2(source, target)
    os.closerange(4, 4096)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()


def drop_user() -> None:
    """From root to a plain user, where the zygote had to be root to load its modules."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(_JOB_USER, _JOB_USER, _JOB_USER)
        os.setresuid(_JOB_USER, _JOB_USER, _JOB_USER)


def limit(request: dict[str, Any]) -> None:
    """Resource limits, and first in line for the kernel's out-of-memory killer.

    A shell's processes are few (counted in its own user namespace), a quarter of the memory each.
    """
    with open("/proc/self/oom_score_adj", "w") as stream:  # noqa: PTH123
        stream.write("1000")
    memory, disk, seconds = request["memory_mb"] << 20, request["disk_mb"] << 20, request["cpu_s"]
    if request["program"] == "shell":
        memory //= 4
        resource.setrlimit(resource.RLIMIT_NPROC, (MAX_PROCESSES, MAX_PROCESSES))
    for kind, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_FSIZE, disk, disk),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES, MAX_OPEN_FILES),
        (resource.RLIMIT_MEMLOCK, 65536, 65536),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
    ):
        resource.setrlimit(kind, (soft, hard))


def drop_capabilities() -> None:
    """Give up the new user namespace's capabilities, for good."""
    for capability in range(64):
        if _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0):
            break  # past the kernel's last capability
    _prctl(_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    header = ctypes.create_string_buffer(_CAPABILITY_VERSION.to_bytes(4, "little") + bytes(4))
    _check(_libc.capset(header, ctypes.create_string_buffer(24)), "capset")


def restrict_files() -> None:
    """Landlock: the system's libraries are readable and nothing is writable."""
    os.chdir("/")
    _prctl(_SET_NO_NEW_PRIVS, 1)
    landlock.restrict(READABLE, ("/dev/null",))


def filter_calls(program: bytes) -> None:
    """Install the seccomp filter; nothing can lift it."""
    buffer = ctypes.create_string_buffer(program, len(program))
    pointer = ctypes.cast(buffer, ctypes.c_void_p)
    wrapped = _Program(len(program) // 8, pointer)
    _prctl(_SET_NO_NEW_PRIVS, 1)
    _check(_libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(wrapped), 0, 0), "seccomp filter")


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, value, 0, 0, 0), f"prctl {option}")


def _mount(kind: bytes, target: bytes, flags: int, options: bytes | None) -> None:
    result = _libc.mount(kind, target, kind, ctypes.c_ulong(flags), options)
    _check(result, f"mount {target.decode()}")


def _check(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
