"""The process of one engine."""

from k2core.engines.vllm.engine import VllmEngine


class EngineActor(VllmEngine):
    """A vLLM engine as a Ray actor, which has methods but no properties."""

    def served_weights(self) -> str:
        """Digest of the served weights."""
        return self.weights
