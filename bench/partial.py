"""Partial rollouts against whole ones: engine steps a sample, on lengths with a heavy tail.

No model and no clock: a scripted engine makes a token of each sequence a step, so the figures are
the same everywhere. `python -m bench.partial`
"""

import argparse
import functools
import random
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from k2core.agents import Dialogue, How, Session, Start, Table, play_starts
from k2core.engines.protocol import Decoding, Usage
from k2core.engines.scripted import ScriptedEngine
from k2core.rewards import Verdict
from k2core.rl.buffer import Buffer
from k2core.rl.clock import Clock
from k2core.rl.partial import sample_part
from k2core.rl.practice import Practice, Served
from k2core.rl.priority import Successes
from k2core.rl.samples import Sample
from k2core.rl.sampling import sample_groups
from schemas.chat import Message, Problem, ToolSpec
from schemas.rl import RlConfig

if TYPE_CHECKING:
    from k2core.agents.player import Codec
    from k2core.engines.learner import Learner
    from k2core.engines.protocol import TalkingEngine
    from k2core.rl.objectives.rule import PolicyObjective

LIMIT = 1024
"""Tokens that a dialogue may have."""
_STOP = 0


class Found(NamedTuple):
    """Of some iterations."""

    steps: int
    samples: int
    tokens: int
    stale_frac: float
    seconds: float
    """Of the engines, from first turns to last."""
    slot_use: float
    rounds: list[list[Sample]]
    """An iteration's each."""


class _Numbers:
    """A codec of words that are numbers."""

    stop_token_ids = (_STOP,)

    def encode_prompt(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> list[int]:
        return [int(message.content) for message in messages]

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))

    def parse(self, ids: Sequence[int], next_index: int) -> Message:
        return Message(role="assistant", content=self.decode(ids))


def say(prompt: list[int], how: Decoding) -> list[int]:
    """An answer whose first token is its length: log-normal, a mean of 120, cut at the limit."""
    if len(prompt) == 1:
        drawn = random.Random(how.seed).lognormvariate(4.0, 1.25)
        length = max(2, min(LIMIT, round(drawn)))
        return [length] * (length - 1) + [_STOP]
    length = prompt[1]
    return [length] * (length - len(prompt)) + [_STOP]


def problem_of(number: int) -> Problem:
    """Of which nothing matters but its limit."""
    return Problem(
        problem_id=f"f/train/{number}",
        family="f",
        group="math",
        messages=(Message(role="user", content=str(number)),),
        verifier="integer_answer",
        max_tokens=LIMIT,
        max_turns=1,
    )


class World(NamedTuple):
    """Who plays what."""

    config: RlConfig
    engine: "TalkingEngine"
    codec: "Codec"
    ask: Callable[[int], Problem]
    """A problem by its number."""
    update: Callable[[int], str]
    """Serve an iteration's weights; returns their digest."""


def scripted(iteration_tokens: int | None, seed: int = 0) -> World:
    """The engine by a function, whose steps cost nothing."""
    config = RlConfig(num_problems=512, iteration_tokens=iteration_tokens, seed=seed)
    return World(config, ScriptedEngine(say, slots=512), _Numbers(), problem_of, _name)


def _name(index: int) -> str:
    return f"sha256:{index}"


def practise(world: World, num_iterations: int) -> Found:
    """Sample so many iterations, whole or in parts; nothing is learned."""
    config, seed, usages, weights = world.config, world.config.seed, list[Usage](), [""]

    def play_part(
        starts: Sequence[Start], temperature: float, most: int | None = None
    ) -> list[Sample | Start]:
        how = How(temperature, top_p=1.0, enforced=False)
        table = Table(world.codec, Session, 2 * LIMIT, how, weights[0])
        found = play_starts(
            starts, world.engine, table, most_tokens=most, on_usage=lambda u: usages.append(u)
        )
        return [Sample(f) if isinstance(f, Dialogue) else f for f in found]

    def play(problems: Sequence[Problem], seeds: Sequence[int], temperature: float) -> list[Sample]:
        starts = [Start(*asked) for asked in zip(problems, seeds, strict=True)]
        return [s for s in play_part(starts, temperature) if isinstance(s, Sample)]

    practice = Practice(
        config,
        cast("PolicyObjective", _Centred()),
        [world.ask(number) for number in range(config.num_problems)],
        [],
        [],
        cast("Learner", None),
        cast("Served", None),
        play,
        _judge,
        0,
        1,
        play_part=play_part,
    )
    rounds, buffer = list[list[Sample]](), Buffer()
    for index in range(num_iterations):
        rng, seen, clock = random.Random(f"{seed}/{index}"), Successes(), Clock()
        weights[0] = world.update(index)
        if config.iteration_tokens:
            sampled = sample_part(practice, seen, buffer, 1.0, rng, clock, index)
        else:
            sampled = sample_groups(practice, seen, 1.0, rng, clock, index)
        buffer = sampled.buffer
        rounds.append(sampled.samples)
    samples = [sample for part in rounds for sample in part]
    tokens = sum(sample.dialogue.num_tokens for sample in samples)
    stale = sum(sample.dialogue.num_stale for sample in samples)
    used = functools.reduce(Usage.then, usages)
    rate = stale / tokens
    return Found(used.steps, len(samples), tokens, rate, used.seconds, used.slot_use, rounds)


class _Centred:
    """K2's advantages, without its mathematics."""

    def advantages(self, rewards: Sequence[float]) -> list[float]:
        mean = sum(rewards) / len(rewards)
        return [reward - mean for reward in rewards]


def _judge(samples: Sequence[Sample]) -> list[Verdict]:
    return [Verdict(float(sample.dialogue.num_tokens % 2)) for sample in samples]


def main(arguments: Sequence[str] = ()) -> None:
    """Print a line a seed and kind, and last the ratio of steps a sample, whole to partial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=16_000, help="an iteration's cap")
    options = parser.parse_args(arguments)
    ratios, learned = list[float](), list[float]()
    for seed in range(3):
        whole = practise(scripted(None, seed), options.iterations)
        part = practise(scripted(options.tokens, seed), options.iterations)
        ratios.append((whole.steps / whole.samples) / (part.steps / part.samples))
        fresh = part.tokens * (1 - part.stale_frac)
        learned.append((whole.steps / whole.tokens) / (part.steps / fresh))
        for name, found in (("whole", whole), ("partial", part)):
            print(
                f"seed {seed} {name:>7}: {found.steps:>6} steps {found.samples:>5} samples "
                f"{found.tokens:>7} tokens, {found.stale_frac:.0%} of them under earlier weights"
            )
    print(f"a token that is learned from: ratio={sum(learned) / len(learned):.2f}")
    print(f"partial ratio={sum(ratios) / len(ratios):.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
