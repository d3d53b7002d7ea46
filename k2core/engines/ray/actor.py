"""The process of an engine, which may serve one model after another."""

from typing import TYPE_CHECKING

import ray

from k2core.engines.protocol import Model
from k2core.engines.ray.mail import MAIL, TalkingActor
from k2core.engines.vllm.arguments import EngineLimits
from k2core.engines.vllm.engine import VllmEngine, import_vllm
from k2core.engines.vllm.stepper import VllmStepper
from schemas.placement import Serving

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ray.actor import ActorHandle

    from k2core.engines.vllm.transfer import Kept
    from k2core.model.digest import Receipt


class EngineActor(TalkingActor, VllmEngine):
    """A vLLM engine as a Ray actor, which has methods but no properties.

    Args:
        one_node: all devices of its engines are in one machine.
    """

    def __init__(self, *, one_node: bool = True) -> None:
        import_vllm()
        TalkingActor.__init__(self)
        self._one_node = one_node

    def ready(self) -> bool:
        """Whether the process is there."""
        return True

    def open(self, model: Model, serving: Serving, limits: EngineLimits) -> str:
        """Serve this from now on; returns the digest of its weights."""
        VllmEngine.__init__(self, model, serving, limits, one_node=self._one_node)
        return self.weights

    def take_again(self, kept: "list[Kept]") -> None:
        """Weights that a trainer sent to another engine."""
        self.start_weight_update()
        self.update_weights({"again": kept})
        self.finish_weight_update()

    def noted(self) -> "list[Receipt]":
        """What each worker was given in the last round."""
        receipts: list[Receipt] = self._llm.collective_rpc("weights_noted")
        return receipts

    def give_kept(self) -> "list[Kept]":
        """What the last round brought, if it was to be kept."""
        kept: list[Kept] = self._llm.collective_rpc("give_kept")[0]
        return kept

    def served(self) -> str:
        """Digest of the weights."""
        return self.weights

    def open_stepper(self, *, halts: bool) -> VllmStepper:
        """One conversation at a time."""
        return VllmStepper(self._llm, halts=halts)

    def count_slots(self) -> int:
        """As it was opened."""
        return self._slots


def start_actor(options: "Mapping[str, object]", *, one_node: bool) -> "ActorHandle":
    """The process of an engine, which begins to import vLLM; nobody waits for it.

    Args:
        options: of the actor.
        one_node: as `EngineActor` takes it.
    """
    actor = ray.remote(concurrency_groups=MAIL)(EngineActor).options(**options)
    started: ActorHandle = actor.remote(one_node=one_node)
    return started
