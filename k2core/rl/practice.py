"""What the iterations of reinforcement learning work with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from k2core.agents import Dialogue
from k2core.engines.learner import Learner, Peer, Weights
from k2core.engines.protocol import Forecast, Usage
from k2core.rl.critic import CriticLoop
from k2core.rl.objectives.rule import PolicyObjective
from k2core.rl.priority import Successes
from k2core.rl.samples import Judge, Play, PlayPart
from schemas.chat import Problem
from schemas.rl import RlConfig

if TYPE_CHECKING:
    from k2core.chat import EncodedDialogue


Masks = Callable[[Dialogue], Sequence[bytes]]
"""As `k2core.rl.masks.TurnMasks.of`."""


class Served(Protocol):
    """What samples: engines."""

    @property
    def weights(self) -> str:
        """Digest of what they serve."""

    @property
    def peer(self) -> Peer:
        """What the trainer's other ranks do while weights are sent."""

    def receive_weights(self, weights: Weights) -> str:
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
    expected: dict[str, Forecast] = field(default_factory=dict)
    """Family -> tokens that `play` expects a dialogue to take: those begin first that may become
    long, and engines are dealt equal means."""
    masks: Masks | None = None
    """What each token of a dialogue was chosen from, where an enforcer left less than all."""

    def expect(self, seen: Successes) -> None:
        """Expect what was seen; before anything is played, so that batches follow from states."""
        self.expected.clear()
        self.expected.update(seen.lengths)
