"""The process of an engine, which may serve one model after another."""

from pathlib import Path

from k2core.engines.vllm.engine import Serving, VllmEngine


class EngineActor(VllmEngine):
    """A vLLM engine as a Ray actor, which has methods but no properties."""

    def __init__(self) -> None:
        """Serve nothing yet."""

    def ready(self) -> bool:
        """Whether the process is there."""
        return True

    def open(self, folder: Path, serving: Serving) -> str:
        """Serve this folder from now on; returns the digest of its weights."""
        super().__init__(folder, serving)
        return self.weights
