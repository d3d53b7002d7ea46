"""Megatron-core as the training backend; importing this package makes it run without CUDA."""

import warnings

from k2core.engines.megatron.shim import install

# Upstream warns at length that Transformer Engine and Apex are missing: on CPU they must be.
warnings.filterwarnings("ignore", category=UserWarning, module=r"megatron\.")
install()
