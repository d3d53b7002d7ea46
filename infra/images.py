"""Container images: dependencies only (slow to build); the code travels as a bundle (fast)."""

import flyte

from infra.home import ROOT

_APT = ("bubblewrap", "libseccomp2", "libgomp1", "python3", "git", "g++")


def cpu_image() -> flyte.Image:
    """The locked CPU environment of `make setup`, as an image."""
    return (
        flyte.Image.from_debian_base(python_version=(3, 11), name="k2-cpu", install_flyte=False)
        .with_apt_packages(*_APT)
        .with_pip_packages("torch==2.13.0", extra_index_urls="https://download.pytorch.org/whl/cpu")
        .with_requirements(ROOT / "infra" / "locks" / "cpu.txt", extra_args="--no-deps")
    )


def gpu_image() -> flyte.Image:
    """CUDA builds of torch, vLLM and TransformerEngine on the same pins. Never built or run yet."""
    return (
        flyte.Image.from_base("nvcr.io/nvidia/pytorch:25.09-py3")
        .clone(name="k2-gpu", extendable=True)
        .with_apt_packages(*_APT)
        .with_requirements(ROOT / "infra" / "locks" / "gpu.txt")
    )
