"""Devices: memory, peak and links, as their makers state them."""

from typing import NamedTuple

from schemas.placement import GpuName


class Device(NamedTuple):
    """One accelerator and its way to the others."""

    memory: float
    """Bytes."""
    peak: float
    """Dense bf16 FLOP/s."""
    fp8_peak: float
    """Dense FP8 FLOP/s; the bf16 peak where there is no FP8."""
    fast_link: float
    """Bytes/s one way to the devices of the same node (NVLink)."""
    network: float
    """Bytes/s one way to other nodes, a device's share of the node's adapters."""
    host_link: float
    """Bytes/s one way to the host's memory."""
    bandwidth: float
    """Bytes/s of its own memory."""


def _device(
    gigabytes: float,
    tflops: float,
    fp8: float,
    links: tuple[float, float, float],
    bandwidth: float,
) -> Device:
    fast, network, host = (link * 1e9 for link in links)
    peaks = tflops * 1e12, fp8 * 1e12
    return Device(gigabytes * 1e9, *peaks, fast, network, host, bandwidth * 1e9)


DEVICES: dict[GpuName, Device] = {
    "cpu": _device(8, 0.1, 0.1, (5, 1, 5), 10),
    "a100": _device(80, 312, 312, (300, 25, 25), 2039),
    "h20": _device(96, 148, 296, (450, 50, 50), 4000),
    "h100": _device(80, 989, 1979, (450, 50, 50), 3350),
    "h800": _device(80, 989, 1979, (200, 50, 50), 3350),
    "h200": _device(141, 989, 1979, (450, 50, 50), 4800),
    "b200": _device(180, 2250, 4500, (900, 50, 50), 8000),
    "gb300": _device(279, 2500, 5000, (900, 100, 360), 8000),
}
"""Data sheets of the SXM or NVL parts, one 200 to 800 Gbit/s adapter a device; the host
by what PCIe 4 or 5 carries of 32 or 64 GB/s, of gb300 by NVLink-C2C (450 GB/s). `cpu` is one core
of a server with 8 GB: an order of magnitude, there to refuse what is hopeless."""

USABLE_FRAC = 0.92
"""What a process can fill: the rest is the driver's context, NCCL's buffers, fragmentation."""
