"""vLLM as the generator: one engine in the current process, `k2core.engines.ray` for several."""

from k2core.engines.vllm.engine import VllmEngine

__all__ = ["VllmEngine"]
