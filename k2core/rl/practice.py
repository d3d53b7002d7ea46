"""What the iterations of reinforcement learning work with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from k2core.engines.learner import Learner, Peer
from k2core.engines.protocol import Usage
from k2core.model.digest import NamedTensor
from k2core.rl.critic import CriticLoop
from k2core.rl.objectives.rule import PolicyObjective
from k2core.rl.samples import Judge, Play, PlayPart
from schemas.chat import Problem
from schemas.rl import RlConfig

if TYPE_CHECKING:
    from k2core.chat import EncodedDialogue


class Served(Protocol):
    """What samples: engines."""

    @property
    def peer(self) -> Peer:
        """What the trainer's other ranks do while weights are sent."""

    def receive_weights(self, named: Iterator[NamedTensor]) -> str:
        """Serve these from now on; returns their digest, which all engines agree on.

        Raises:
            RuntimeError: they were given something else.
        """

    def sleep(self) -> None:
        """Leave the devices to the trainer until weights come."""


@dataclass(frozen=True)
class Practice:
    """Everything that the iterations work with."""

    config: RlConfig
    rule: PolicyObjective
    """What is minimised."""
    problems: Sequence[Problem]
    """The training split; validation and held-out problems are never among them."""
    validation: Sequence[Problem]
    """What the weights are compared on."""
    texts: "Sequence[EncodedDialogue]"
    """Accepted trajectories, for PTX."""
    learner: Learner
    served: Served
    play: Play
    judge: Judge
    pad_id: int
    num_ranks: int
    critic: CriticLoop | None = None
    """Refreshed and measured, where there is one."""
    usages: list[Usage] = field(default_factory=list)
    """What `play` took of the engines, each time since this was last emptied."""
    play_part: PlayPart | None = None
    """Where iterations are capped (`RlConfig.iteration_tokens`)."""
