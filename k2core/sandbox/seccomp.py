"""The system calls a job may not make, as seccomp-bpf programs for this architecture."""

import errno
import os
import struct
from functools import cache
from typing import Literal, get_args

import pyseccomp  # type: ignore[import-untyped]

Profile = Literal["single", "program", "processes"]
"""One process; one that may become another program; several, in a namespace of their own."""

PROFILES: tuple[Profile, ...] = get_args(Profile)

_EXECUTE = "execve execveat"
_FORK = "fork vfork kill tkill tgkill"
_CLONE_THREAD = 0x10000
# Flags of clone that make a time, mount, cgroup, host-name, IPC, user, process or net namespace.
_NEW_NAMESPACES = (
    *(0x80, 0x20000, 0x2000000, 0x4000000),
    *(0x8000000, 0x10000000, 0x20000000, 0x40000000),
)
# Nothing below is needed to compute, print, or read the standard library.
_DENIED = """
    rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal ptrace process_vm_readv
    process_vm_writev kcmp socket socketpair mount umount2 pivot_root chroot unshare setns bpf
    perf_event_open userfaultfd keyctl add_key request_key
    kexec_load kexec_file_load init_module finit_module delete_module open_by_handle_at
    name_to_handle_at swapon swapoff reboot quotactl acct settimeofday clock_settime adjtimex
    clock_adjtime sethostname setdomainname iopl ioperm syslog vhangup lookup_dcookie nfsservctl
    fanotify_init inotify_init1 personality memfd_create shmget shmat shmctl semget semop semctl
    msgget msgsnd msgrcv msgctl mq_open mknod mknodat
    setpriority sched_setaffinity sched_setscheduler sched_setparam sched_setattr ioprio_set
    migrate_pages move_pages get_robust_list mincore modify_ldt vmsplice inotify_init
    sync syncfs flock io_setup io_submit io_cancel io_destroy io_getevents io_pgetevents
"""
# Numbers from 424 on are the same on every architecture, and older libseccomp lacks their names:
# io_uring, the mount calls, pidfd_getfd, process_madvise, then all that came after (denied unseen).
_DENIED_NUMBERS = (425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 440)
_DENIED_FROM = 442
_CLONE3 = 435
_BINARY_TREE = 2
_LOAD, _IF_GREATER_EQUAL, _RETURN = 0x20, 0x35, 0x06
_ERRNO = 0x50000
_PRLIMIT_OTHER = pyseccomp.Arg(0, pyseccomp.NE, 0)
_TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP = 0x5412, 0x541C, 0x8901, 0x8902
# Signals to a file's owner are kill by another name; leases and notices signal too; pipes grow
# beside the memory's limit: SETOWN, SETSIG, SETOWN_EX, SETLEASE, NOTIFY, SETPIPE_SZ.
_DENIED_FCNTL = (8, 10, 15, 1024, 1026, 1031)


@cache
def build_filter(profile: Profile) -> bytes:
    """Compile the filter. Denied calls fail with EPERM; the job goes on and may handle it."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    denied = pyseccomp.ERRNO(errno.EPERM)
    names = {"single": f"{_EXECUTE} {_FORK}", "program": _FORK, "processes": ""}[profile]
    for name in f"{names} {_DENIED}".split():
        rules.add_rule(denied, name)
    for flag in _NEW_NAMESPACES:
        rules.add_rule(denied, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))
    if profile != "processes":  # threads are no processes
        rules.add_rule(denied, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, 0))
    for number in _DENIED_NUMBERS:
        rules.add_rule(denied, number)
    # clone3's flags are in memory and cannot be filtered; ENOSYS makes libc fall back to clone.
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), _CLONE3)
    rules.add_rule(denied, "prlimit64", _PRLIMIT_OTHER)
    for command in _DENIED_FCNTL:
        low = pyseccomp.Arg(1, pyseccomp.MASKED_EQ, 0xFFFFFFFF, command)
        rules.add_rule(denied, "fcntl", low)
    for request in (_TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP):
        rules.add_rule(denied, "ioctl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, 0xFFFFFFFF, request))
    # The kernel runs a new filter for each system call once, in every job: a tree is quickest.
    rules.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, _BINARY_TREE)
    with os.fdopen(os.memfd_create("seccomp"), "r+b") as stream:
        rules.export_bpf(stream)
        stream.seek(0)
        return _denied_from() + stream.read()


def _denied_from() -> bytes:
    """All that is newer than what is known here, in three instructions instead of many rules."""
    steps = (
        (_LOAD, 0, 0, 0),  # the system call's number
        (_IF_GREATER_EQUAL, 0, 1, _DENIED_FROM),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    )
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
