"""Megatron-core as the training backend; importing this package makes it run without CUDA."""

from k2core.engines.megatron.shim import install

install()
