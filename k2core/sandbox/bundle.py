"""The jail's own code as a zip in memory: no file that a dropped user would have to reach."""

import io
import os
import zipfile
from functools import cache
from pathlib import Path

from k2core.sandbox.seccomp import PROFILES, build_filter

_PACKAGE = "k2core/sandbox/inside"
_MAIN = "from k2core.sandbox.inside.server import main\n\nmain()\n"


def open_bundle() -> int:
    """A descriptor that `python3 /proc/self/fd/N` can run: the zygote with its seccomp filters."""
    descriptor = os.memfd_create("zygote")
    with os.fdopen(os.dup(descriptor), "wb") as stream:
        stream.write(_bundle())
    return descriptor


@cache
def _bundle() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        bundle.writestr("__main__.py", _MAIN)
        for package in ("k2core", "k2core/sandbox"):
            bundle.writestr(f"{package}/__init__.py", "")
        for path in sorted((Path(__file__).parent / "inside").glob("*.py")):
            bundle.writestr(f"{_PACKAGE}/{path.name}", path.read_text())
        for profile in PROFILES:
            bundle.writestr(f"{_PACKAGE}/{profile}.bpf", build_filter(profile))
    return buffer.getvalue()
