"""Long context: one fact among many like it, at several lengths and depths."""

import random

from inspect_ai.dataset import Sample
from inspect_ai.solver import TaskState

from k2core.evaluate.suites.suite import CATEGORY, Bench, Suite, make_suite
from k2core.problems.words import PEOPLE, WORDS
from k2core.rewards.numbers import final_number
from k2core.sandbox import Verdict
from schemas.benchmarks import BenchmarkConfig

LENGTHS = (32, 128, 512, 2048)
"""Facts of an item; a fact is some ten words."""
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where the fact stands that is asked for."""
PER_LENGTH = 10


def build(config: BenchmarkConfig, bench: Bench) -> Suite:
    """Ten of each length, or `limit`; a prompt that the model cannot hold fails for its context."""
    count = config.limit or PER_LENGTH
    samples = [pose(length, n, config.seed) for length in LENGTHS for n in range(count)]
    return make_suite("retrieval", samples, "this pipeline's facts", judge)


def pose(length: int, index: int, seed: int) -> Sample:
    """So many facts, no two of the same key; one is asked for at the end."""
    rng = random.Random(f"{seed}/retrieval/{length}/{index}")
    pairs = [(person, word) for person in PEOPLE for word in WORDS]
    keys = rng.sample(pairs, length)
    values = [rng.randint(1000, 9999) for _ in keys]
    told = zip(keys, values, strict=True)
    facts = [f"The {word} of {who} has the number {value}." for (who, word), value in told]
    place = round(DEPTHS[index % len(DEPTHS)] * (length - 1))
    who, word = keys[place]
    question = f"What number does the {word} of {who} have? Answer with the number alone."
    return Sample(
        id=f"{length}/{index}",
        input="\n".join((*facts, "", question)),
        target=str(values[place]),
        metadata={CATEGORY: f"{length} facts"},
    )


def judge(state: TaskState) -> Verdict:
    """The last number that the answer says."""
    found = final_number(state.output.completion)
    if found is None or found.value is None:
        return Verdict(0.0, "no_number")
    right = (found.value.whole, found.value.decimals) == (state.target.text, "")
    return Verdict(1.0) if right else Verdict(0.0, "wrong_number")
