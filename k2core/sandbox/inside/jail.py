"""Steps by which a forked process gives up what a job may not have."""

import ctypes
import fcntl
import os
import resource
import signal
from typing import TypedDict

from k2core.sandbox.inside import landlock

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000
_CLONE = {"x86_64": 56, "aarch64": 220}
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _BIND = 1, 2, 4, 8, 4096
_SET_PDEATHSIG, _SET_DUMPABLE, _SET_SECCOMP, _CAPBSET_DROP = 1, 4, 22, 24
_SET_NO_NEW_PRIVS, _CAP_AMBIENT, _AMBIENT_CLEAR_ALL = 38, 47, 4
_FILTER_MODE = 2
_CAPABILITY_VERSION = 0x20080522
READABLE = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom", "/dev/zero")
MAX_OPEN_FILES = 64
MAX_PROCESSES = 16
"""Processes of a shell, threads of a program."""
STATUS = 4
"""Descriptor on which a jail that fails says so; closed before the job begins."""

_USER, _GROUP = os.getuid(), os.getgid()
_libc = ctypes.CDLL(None, use_errno=True)
_holding = ctypes.PyDLL(None, use_errno=True)


class Request(TypedDict):
    """What the driver asks of the zygote."""

    id: int
    program: str
    cpu_s: int
    wall_s: float
    memory_mb: int
    disk_mb: int


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def die_with_parent() -> None:
    """Be killed when the parent ends, however it ends."""
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)


def hide() -> None:
    """Close `/proc/PID/*` of this process to its own user."""
    _prctl(_SET_DUMPABLE, 0)


def fork_into_namespaces() -> int:
    """Fork; the child is process 1 of new user, mount, process, IPC and host-name namespaces.

    One system call where `unshare` would need a second fork. Python's own steps before and after
    a fork are taken by hand.
    """
    flags = _NEWUSER | _NEWNS | _NEWPID | _NEWIPC | _NEWUTS | signal.SIGCHLD
    number = ctypes.c_long(_CLONE[os.uname().machine])
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = int(_holding.syscall(number, ctypes.c_long(flags), 0, 0, 0, 0))
    code = ctypes.get_errno()
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(code, f"clone with namespaces: {os.strerror(code)}")
    return pid


def map_user() -> None:
    """As whom the namespace's only user acts outside: as the zygote."""
    _write("setgroups", "deny")
    _write("uid_map", f"1000 {_USER} 1")
    _write("gid_map", f"1000 {_GROUP} 1")


def mount_fresh(disk_mb: int) -> None:
    """An empty, writable `/box`, `/tmp` and `/dev/shm` with one cap, and the namespace's `/proc`.

    That shows the namespace's processes and nothing of the machine, and nothing in it can be
    changed: a job stays first in line for the out-of-memory killer.
    """
    # Without nr_inodes a job could fill the memory with empty files.
    options = f"size={disk_mb}m,nr_inodes=4096,mode=0777".encode()
    _mount(b"tmpfs", b"/tmp", _NOSUID | _NODEV, options)
    for name, target in (("box", b"/box"), ("shm", b"/dev/shm"), ("tmp", b"/tmp")):
        inside = f"/tmp/{name}"
        os.mkdir(inside)  # noqa: PTH102 - one import fewer in the jail
        os.chmod(inside, 0o777)  # noqa: PTH101
        _mount(inside.encode(), target, _BIND, None)
    flags = _NOSUID | _NODEV | _NOEXEC | _RDONLY
    try:
        _mount(b"proc", b"/proc", flags, b"subset=pid")
    except OSError:  # before Linux 5.8
        _mount(b"proc", b"/proc", flags, None)
    os.chdir("/box")


def take_streams(payload: int, streams: tuple[int, int, int], status: int) -> None:
    """Keep standard input, output, error, the payload as 3, the jail's status as 4; close others.

    All are moved out of the way first, so that none overwrites another.
    """
    kept = [
        fcntl.fcntl(source, fcntl.F_DUPFD, STATUS + 1) for source in (*streams, payload, status)
    ]
    for target, source in enumerate(kept):
        os.dup2(source, target)
    os.closerange(STATUS + 1, 4096)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()


def release() -> None:
    """The jail stands: from here on nobody listens."""
    os.close(STATUS)


def drop_user(user: int) -> None:
    """From root to a plain user, this job's own."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def expect_to_die_first() -> None:
    """Be first in line for the kernel's out-of-memory killer."""
    _write("oom_score_adj", "1000")


def limit(request: Request, processes: int) -> None:
    """Resource limits; a shell's processes are few, a quarter of the memory each."""
    memory, disk, seconds = request["memory_mb"] << 20, request["disk_mb"] << 20, request["cpu_s"]
    if request["program"] == "shell":
        memory //= 4
    for kind, most in (
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds + 1),  # in case the zygote does not look in time
        (resource.RLIMIT_FSIZE, disk),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_MEMLOCK, 65536),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def drop_capabilities() -> None:
    """Give up the new user namespace's capabilities, for good."""
    for capability in range(64):
        if _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0):
            break  # past the kernel's last capability
    _prctl(_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    header = ctypes.create_string_buffer(_CAPABILITY_VERSION.to_bytes(4, "little") + bytes(4))
    _check(_libc.capset(header, ctypes.create_string_buffer(24)), "capset")


def ruleset() -> int:
    """Landlock's rules for jobs: the system's libraries are readable and nothing is writable."""
    return landlock.rules(READABLE, ("/dev/null",))


def restrict_files(rules: int) -> None:
    """Leave only what the rules name."""
    os.chdir("/")
    _prctl(_SET_NO_NEW_PRIVS, 1)
    landlock.restrict(rules)


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


def _write(name: str, text: str) -> None:
    handle = os.open(f"/proc/self/{name}", os.O_WRONLY)
    os.write(handle, text.encode())
    os.close(handle)


def _check(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
