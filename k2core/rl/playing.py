"""How an iteration's dialogues are played: by engines, with simulators, servers or own code."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from k2core.agents import Dialogue, How, Opening, Start, Table, play_starts
from k2core.rl.samples import Sample
from schemas.chat import Problem

if TYPE_CHECKING:
    from k2core.chat import ChatCodec
    from k2core.engines.protocol import Forecast, TalkingEngine, Usage


@dataclass(frozen=True)
class Playing:
    """On-policy dialogues; simulators execute the calls, somebody's own code in the sandbox."""

    engine: "TalkingEngine"
    codec: "ChatCodec"
    opening: Opening
    max_context: int
    max_repeats: int = 0
    enforced: bool = False
    usages: "list[Usage]" = field(default_factory=list)
    """What each play took of the engines."""
    expected: "dict[str, Forecast]" = field(default_factory=dict)
    """Family -> tokens that a dialogue will take."""

    def play(
        self, problems: Sequence[Problem], seeds: Sequence[int], temperature: float
    ) -> list[Sample]:
        """`k2core.rl.samples.Play`."""
        starts = [Start(*asked) for asked in zip(problems, seeds, strict=True)]
        return [s for s in self.play_part(starts, temperature) if isinstance(s, Sample)]

    def play_part(
        self, starts: Sequence[Start], temperature: float, most_tokens: int | None = None
    ) -> list[Sample | Start]:
        """`k2core.rl.samples.PlayPart`."""
        how = How(temperature, 1.0, self.enforced, self.max_repeats)
        table = Table(self.codec, self.opening.open, self.max_context, how, self.engine.weights)
        told = [s._replace(expected=self.expected.get(s.problem.family)) for s in starts]
        found = play_starts(
            told, self.engine, table, most_tokens=most_tokens, on_usage=self.usages.append
        )
        return [Sample(f) if isinstance(f, Dialogue) else f for f in found]
