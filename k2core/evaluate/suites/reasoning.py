"""reasoning-gym's generated puzzles (arXiv:2505.24760), with its own prompt and its own scorers."""

from importlib.metadata import version

import reasoning_gym
from inspect_ai.dataset import Sample
from inspect_ai.solver import TaskState, system_message
from reasoning_gym.utils import SYSTEM_PROMPTS, extract_answer

from k2core.evaluate.suites.suite import CATEGORY, Bench, Suite, answer, make_suite
from k2core.sandbox import Verdict
from schemas.benchmarks import BenchmarkConfig

GENERATORS = (
    "acre",
    "aiw",
    "base_conversion",
    "basic_arithmetic",
    "count_bits",
    "course_schedule",
    "gcd",
    "lcm",
    "leg_counting",
    "letter_counting",
    "number_sequence",
    "simple_equations",
    "simple_geometry",
    "string_splitting",
    "syllogism",
)
"""Of its 106 the ones that compare answers as text: other scorers evaluate what a model wrote."""
PER_GENERATOR = 20
HELD_OUT_SEED = 1_000_003
"""Added to the seed: training text draws from small ones."""


def build(config: BenchmarkConfig, bench: Bench) -> Suite:
    """Twenty of each generator, or `limit`."""
    samples = []
    for name in GENERATORS:
        size, seed = config.limit or PER_GENERATOR, HELD_OUT_SEED + config.seed
        for index, entry in enumerate(reasoning_gym.create_dataset(name, size=size, seed=seed)):
            facts = {CATEGORY: name}
            target = str(entry["answer"])
            samples.append(
                Sample(id=f"{name}/{index}", input=entry["question"], target=target, metadata=facts)
            )
    return make_suite(
        "reasoning",
        samples,
        f"reasoning-gym {version('reasoning-gym')}",
        judge,
        [system_message(SYSTEM_PROMPTS["default"]), answer()],
    )


def judge(state: TaskState) -> Verdict:
    """Its generator's scorer on what stands in the answer's tags; only a whole score passes."""
    found = extract_answer(state.output.completion)
    if found is None:
        return Verdict(0.0, "no_answer")
    return Verdict(1.0) if found == state.target.text else Verdict(0.0, "wrong_answer")
