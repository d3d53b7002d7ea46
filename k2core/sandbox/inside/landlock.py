"""Landlock (Linux 5.13): take away the file system without a namespace."""

import ctypes
import os
import struct

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_READ = (1 << 0) | (1 << 2) | (1 << 3)  # execute, read a file, read a folder
_WRITE_FILE = (1 << 1) | (1 << 2)
_FILE_RIGHTS = (1 << 0) | (1 << 1) | (1 << 2) | (1 << 14) | (1 << 15)


_libc = ctypes.CDLL(None, use_errno=True)


def rules(readable: tuple[str, ...], writable: tuple[str, ...]) -> int:
    """Rules that leave these paths; where the kernel can, no TCP, signals, abstract sockets.

    Raises:
        OSError: the kernel has no Landlock, or it is turned off.
    """
    abi = _syscall(_CREATE, None, 0, 1)
    rights = (1 << 13) - 1
    for since, bit in ((2, 13), (3, 14), (5, 15)):  # refer, truncate, device ioctl
        rights |= (1 << bit) if abi >= since else 0
    attributes = struct.pack("QQQ", rights, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _syscall(_CREATE, ctypes.create_string_buffer(attributes), size, 0)
    for paths, access in ((readable, _READ), (writable, _WRITE_FILE)):
        for path in paths:
            if os.path.exists(path):  # noqa: PTH110 - one import fewer in the jail
                _allow(ruleset, path, access & rights)
    return ruleset


def restrict(ruleset: int) -> None:
    """Obey the rules from now on, with all that is started later."""
    _syscall(_RESTRICT, ruleset, 0)


def _allow(ruleset: int, path: str, access: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not os.path.isdir(path):  # noqa: PTH112
        access &= _FILE_RIGHTS
    rule = ctypes.create_string_buffer(struct.pack("=Qi", access, handle))
    _syscall(_ADD, ruleset, 1, rule, 0)
    os.close(handle)


def _syscall(number: int, *arguments: object) -> int:
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *converted))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock system call {number}: {os.strerror(code)}")
    return result
