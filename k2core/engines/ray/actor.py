"""The process of an engine, which may serve one model after another."""

from pathlib import Path

from k2core.engines.ray.mail import TalkingActor
from k2core.engines.vllm.arguments import Limits
from k2core.engines.vllm.engine import VllmEngine
from k2core.engines.vllm.stepper import VllmStepper
from schemas.placement import Serving


class EngineActor(TalkingActor, VllmEngine):
    """A vLLM engine as a Ray actor, which has methods but no properties.

    Args:
        one_node: all devices of its engines are in one machine.
    """

    def __init__(self, *, one_node: bool = True) -> None:
        TalkingActor.__init__(self)
        self._one_node = one_node

    def ready(self) -> bool:
        """Whether the process is there."""
        return True

    def open(self, folder: Path, serving: Serving, limits: Limits) -> str:
        """Serve this folder from now on; returns the digest of its weights."""
        VllmEngine.__init__(self, folder, serving, limits, one_node=self._one_node)
        return self.weights

    def served(self) -> str:
        """Digest of the weights."""
        return self.weights

    def open_stepper(self, *, halts: bool) -> VllmStepper:
        """One conversation at a time."""
        return VllmStepper(self._llm, halts=halts)

    def count_slots(self) -> int:
        """As it was opened."""
        return self._slots
