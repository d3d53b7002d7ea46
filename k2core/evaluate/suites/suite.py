"""What a suite is: items for the harness, their digest, and verdicts in one form."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import anyio.to_thread
from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import Solver, TaskState, generate

from k2core.agents.endpoint import ChatModel
from k2core.sandbox import CodeRunner, Verdict

CATEGORY = "category"


class Bench(NamedTuple):
    """What a suite may use besides the harness."""

    sandbox: CodeRunner
    """Runs code that a model wrote."""
    model: ChatModel
    """The model, for dialogues that are not the harness' own."""


class Suite(NamedTuple):
    """One suite, ready to be asked."""

    task: Task
    source: str
    """Package and version of the items."""
    data: str
    """Digest of the items."""


Judge = Callable[[TaskState], Verdict]
"""Judges one answer; may take its time, and may raise."""


def make_suite(
    name: str,
    samples: Iterable[Sample],
    source: str,
    judge: Judge,
    solver: Solver | list[Solver] | None = None,
) -> Suite:
    """A suite, bound to the digest of its items; by default each is one question, one answer."""
    dataset = MemoryDataset(list(samples), name=name)
    task = Task(name=name, dataset=dataset, solver=solver or answer(), scorer=judged(judge))
    return Suite(task, source, digest_items(dataset))


def answer() -> Solver:
    """One answer: what a model calls where nothing is declared is not executed, nor asked anew."""
    return generate(tool_calls="none")


def digest_items(samples: Iterable[Sample]) -> str:
    """SHA-256 over each item's id, prompt, gold answer and metadata, in their order."""
    digest = hashlib.sha256()
    for sample in samples:
        given = sample.input
        # Without the harness' own ids of messages, which are drawn.
        prompt = given if isinstance(given, str) else [[m.role, m.text] for m in given]
        asked = [sample.id, prompt, sample.target, sample.metadata]
        digest.update(json.dumps(asked, sort_keys=True).encode() + b"\n")
    return f"sha256:{digest.hexdigest()}"


def take(samples: Iterable[Sample], limit: int | None) -> list[Sample]:
    """The first `limit` of each category, in their order."""
    seen: Counter[str] = Counter()
    kept = []
    for sample in samples:
        category = str((sample.metadata or {})[CATEGORY])
        seen[category] += 1
        if limit is None or seen[category] <= limit:
            kept.append(sample)
    return kept


@scorer(metrics=[accuracy(), stderr()])
def judged(judge: Judge) -> Scorer:
    """A scorer of ours: a verdict's reward 1 passes; a judge that fails makes the item faulty."""

    async def score(state: TaskState, target: Target) -> Score:
        try:
            verdict = await anyio.to_thread.run_sync(judge, state)
        except Exception as error:
            verdict = Verdict.faulty(f"{type(error).__name__}: {error}")
        return Score(
            value=1.0 if verdict.reward >= 1.0 else 0.0,
            explanation="" if verdict.reward >= 1.0 else verdict.reason or "wrong_answer",
            metadata={"faulty": verdict.is_faulty},
        )

    return score
