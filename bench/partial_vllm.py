"""Partial rollouts against whole ones on vLLM engines: seconds a sample, on a heavy tail.

    python -m bench.partial_vllm CHECKPOINT [CHECKPOINT ...]

The checkpoints, policies of one shape in the Hugging Face layout, are served in turns, an iteration
each, as updates would. A dialogue goes on until its budget is spent, and budgets are drawn as
`bench.partial` draws lengths: log-normal, a mean of 120 and a few of some hundred tokens. Whole and
partial take turns, so that what else the machine does meets both.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.partial import Found, World, practise
from k2core.chat import ChatCodec
from k2core.engines.protocol import Engine, TalkingEngine
from schemas.chat import Message, Problem, ToolSpec
from schemas.placement import Serving
from schemas.rl import RlConfig

LIMIT = 900
SLOTS = 24


class _Endless:
    """A codec under which no turn ends before its budget."""

    stop_token_ids: tuple[int, ...] = ()

    def __init__(self, folder: Path) -> None:
        self._codec = ChatCodec(folder)

    def encode_prompt(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> list[int]:
        return self._codec.encode_prompt(messages, tools)

    def decode(self, ids: Sequence[int]) -> str:
        return self._codec.decode(ids)

    def parse(self, ids: Sequence[int], next_index: int) -> Message:
        return self._codec.parse(ids, next_index)


def without_end(folder: Path, copy: Path) -> Path:
    """The checkpoint, whose engine ends no text before its budget."""
    copy.mkdir()
    for path in folder.iterdir():
        if path.suffix != ".json":
            (copy / path.name).symlink_to(path.resolve())
            continue
        told = json.loads(path.read_text())
        if "eos_token_id" in told:
            del told["eos_token_id"]
        if "eos_token" in told:
            told["eos_token"] = told["pad_token"]
        (copy / path.name).write_text(json.dumps(told))
    return copy


def ask(number: int) -> Problem:
    """A question whose answer may have so many tokens."""
    drawn = random.Random(number).lognormvariate(4.0, 1.25)
    return Problem(
        problem_id=f"f/train/{number}",
        family="f",
        group="math",
        messages=(Message(role="user", content=f"Count to {number}."),),
        verifier="integer_answer",
        max_tokens=max(2, min(LIMIT, round(drawn))),
        max_turns=1,
    )


class Versions(NamedTuple):
    """Whose the tokens are that an iteration ends with."""

    tokens: int
    on_policy: int
    """Of the weights that were served when their dialogue ended: these alone are learned from."""
    most: int
    """Weights that wrote in one dialogue."""


def count_versions(found: Found) -> Versions:
    """Over all dialogues, by what their segments say."""
    tokens, fresh, most = 0, 0, 0
    for sample in (sample for part in found.rounds for sample in part):
        dialogue = sample.dialogue
        own = [s for s in dialogue.segments if s.logprobs is not None]
        now = sum(len(s.token_ids) for s in own if s.weights == dialogue.weights)
        if now != sum(dialogue.loss_mask):
            raise ValueError(f"{dialogue.problem.problem_id}: other tokens are learned from")
        tokens, fresh = tokens + dialogue.num_tokens, fresh + now
        most = max(most, len({s.weights for s in own}))
    return Versions(tokens, fresh, most)


class _Update:
    def __init__(self, engine: Engine, folders: Sequence[Path]) -> None:
        self._engine, self._folders = engine, folders

    def __call__(self, index: int) -> str:
        return self._engine.load(self._folders[index % len(self._folders)])


def world_of(engine: TalkingEngine, folders: Sequence[Path], config: RlConfig) -> World:
    """These checkpoints in turns."""
    return World(config, engine, _Endless(folders[0]), ask, _Update(engine, folders))


def main(arguments: Sequence[str] = ()) -> None:
    """Print a line a seed and kind, and last the ratio of seconds a sample, whole to partial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=1_800, help="an iteration's cap")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as aside:
        folders = [
            without_end(folder, Path(aside) / str(number))
            for number, folder in enumerate(options.checkpoints)
        ]
        _compare(folders, options.iterations, options.seeds, options.tokens)


def _compare(folders: Sequence[Path], iterations: int, seeds: int, tokens: int) -> None:
    from k2core.engines.ray import serve

    base = RlConfig(num_problems=128, problems_per_iteration=8, samples_per_problem=4)
    ratios, steps = list[float](), list[float]()
    one = Serving(num_engines=1)
    with serve(folders[0], one, max_model_len=1024, max_num_seqs=SLOTS) as engine:
        for seed in range(seeds):
            found: list[Found] = []
            for cap in (None, tokens):
                config = base.model_copy(update={"iteration_tokens": cap, "seed": seed})
                world = world_of(engine, folders, config)
                found.append(practise(world, iterations))
                _print(f"seed {seed} {'partial' if cap else 'whole':>7}", found[-1])
            whole, part = found
            ratios.append((whole.seconds / whole.samples) / (part.seconds / part.samples))
            steps.append((whole.steps / whole.samples) / (part.steps / part.samples))
    print(f"steps ratio={sum(steps) / len(steps):.2f}")
    print(f"partial_vllm ratio={sum(ratios) / len(ratios):.2f}")


def _print(name: str, found: Found) -> None:
    versions, iterations = count_versions(found), len(found.rounds)
    print(
        f"{name}: {found.seconds / iterations:.2f} s and {found.steps / iterations:.0f} steps an "
        f"iteration, {found.samples} samples, {found.tokens} tokens, "
        f"{versions.on_policy / versions.tokens:.0%} of them on-policy, up to {versions.most} "
        f"weights a dialogue, slots {found.slot_use:.2f} busy",
        flush=True,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
