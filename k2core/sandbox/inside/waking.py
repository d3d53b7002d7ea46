"""`asyncio` without sockets: its event loop wakes itself by a pipe, since a job has no sockets."""

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Protocol

_LOOPS = "asyncio.selector_events"


class _Loop(Protocol):
    """What of `asyncio.selector_events.BaseSelectorEventLoop` this touches."""

    _ssock: "PipeEnd"
    _csock: "PipeEnd"
    _internal_fds: int

    def _add_reader(self, descriptor: int, callback: object) -> object: ...

    def _read_from_self(self) -> None: ...


class PipeEnd:
    """An end of a pipe, with what of a socket the loop asks for."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def recv(self, count: int) -> bytes:
        """Read."""
        return os.read(self._descriptor, count)

    def send(self, data: bytes) -> int:
        """Write."""
        return os.write(self._descriptor, data)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


class _Finder:
    """Finds the loops' module as it is, once, and changes what it makes."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Of `asyncio.selector_events` alone."""
        if name != _LOOPS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        loader = spec.loader
        assert loader is not None
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            module.BaseSelectorEventLoop._make_self_pipe = _make_self_pipe

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _make_self_pipe(loop: _Loop) -> None:
    readable, writable = os.pipe()
    loop._ssock, loop._csock = PipeEnd(readable), PipeEnd(writable)
    loop._internal_fds += 1
    loop._add_reader(readable, loop._read_from_self)


def wake_by_pipes() -> None:
    """From now on; `asyncio` is not imported before somebody needs it."""
    sys.meta_path.insert(0, _Finder())
