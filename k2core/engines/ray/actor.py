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

    from ray import ObjectRef
    from ray.actor import ActorHandle

Bucket = dict[str, object]
"""Some of the weights (`k2core.engines.buckets`)."""


class EngineActor(TalkingActor, VllmEngine):
    """A vLLM engine as a Ray actor, which has methods but no properties.

    Args:
        one_node: all devices of its engines are in one machine.
    """

    def __init__(self, *, one_node: bool = True) -> None:
        import_vllm()
        TalkingActor.__init__(self)
        self._one_node = one_node
        self._buckets: list[ObjectRef[Bucket]] = []

    def ready(self) -> bool:
        """Whether the process is there."""
        return True

    def open(self, model: Model, serving: Serving, limits: EngineLimits) -> str:
        """Serve this from now on; returns the digest of its weights."""
        VllmEngine.__init__(self, model, serving, limits, one_node=self._one_node)
        return self.weights

    def start_weight_update(self) -> None:
        """As vLLM's client; nothing is kept of what a round that broke off brought."""
        self._buckets = []
        super().start_weight_update()

    def take_bucket(self, told: "list[ObjectRef[Bucket]]") -> None:
        """Some of the weights, which stay where they are as long as this is kept.

        Args:
            told: one reference; in a list, so that Ray hands on the reference itself.
        """
        (bucket,) = told
        self._buckets.append(bucket)
        self.update_weights(ray.get(bucket))

    def give_buckets(self) -> "list[ObjectRef[Bucket]]":
        """What was taken since this was last asked."""
        given, self._buckets = self._buckets, []
        return given

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
