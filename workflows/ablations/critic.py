"""The critic in its closed loop: reinforcement learning from a run's finetuned weights, by seed."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.problems import FileSource, ProblemsConfig, Sources
from schemas.rubrics import RUBRIC
from workflows.ablations.configs import CriticAblation
from workflows.ablations.kept import Result
from workflows.ablations.paired import mean_and_spread, mean_difference
from workflows.ablations.policies import CommonStart, practise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LATE = 0.5
"""Share of the iterations, the last ones, that are called late."""


def open_some(start: CommonStart, config: CriticAblation, folder: Path) -> CommonStart:
    """With problems that are open, which only a critic judges."""
    return start._replace(problems=_with_open(start.problems, config, folder))


def _with_open(problems: ProblemsConfig, config: CriticAblation, folder: Path) -> ProblemsConfig:
    """With problems of some families whose verifiers are not asked."""
    from k2core.problems import training_problem

    asked: dict[str, int] = {}
    index = 0
    while len(asked) < config.open_problems:
        problem = training_problem(problems, index)
        index += 1
        if problem.family in config.open_families and len(problem.messages) == 1:
            asked[problem.messages[0].content] = problem.max_tokens
    rows = [
        {"prompt": text, "verifier": RUBRIC, "split": "train", "max_tokens": budget}
        for text, budget in asked.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "open.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = FileSource(name="open", path=str(path), verifier=RUBRIC)
    return problems.model_copy(update={"sources": Sources(files=(source,))})


def judge_seed(config: CriticAblation, start: CommonStart, seed: int) -> Result:
    """One seed's reinforcement learning.

    Returns:
        `critic`: each iteration's figures; `reward`; `validation` before the first update and
        after the last; `final` by family.
    """
    history = practise(start, config.rl.model_copy(update={"seed": seed}))
    iterations = history["iterations"]
    return {
        "critic": [iteration["critic"] for iteration in iterations],
        "dropped": [iteration["dropped"] for iteration in iterations],
        "reward": [iteration["reward"] for iteration in iterations],
        "validation": [iterations[0]["validation"], history["final"]],
    }


def describe(result: Result) -> str:
    """A seed's late agreement, in a line."""
    late = late_means(result)
    return f"agreement {late['agreement']:.3f}, frozen {late['frozen_agreement']:.3f}"


def late_means(result: Result) -> dict[str, float]:
    """Each figure's mean over the later half, weighted by pairs where it is about pairs."""
    rows: list[Mapping[str, float]] = result["critic"][int(len(result["critic"]) * _LATE) :]
    names = sorted({name for row in rows for name in row})
    return {name: _mean(name, [row for row in rows if name in row]) for name in names}


def _mean(name: str, rows: Sequence[Mapping[str, float]]) -> float:
    weights = [row["pairs"] if "agreement" in name or "order" in name else 1.0 for row in rows]
    return sum(w * row[name] for w, row in zip(weights, rows, strict=True)) / sum(weights)


def tabulate(results: Sequence[Result]) -> str:
    """Late figures by seed and in all, as Markdown."""
    late = [late_means(result) for result in results]
    first = [_first(result) for result in results]
    refreshed, frozen = ([row[n] for row in late] for n in ("agreement", "frozen_agreement"))
    lines = [
        "| | " + " | ".join(f"seed {seed}" for seed in range(len(results))) + " | mean |",
        "|---" * (len(results) + 2) + "|",
        _row("agreement at the first iteration", first),
        _row("agreement, later half, refreshed", refreshed),
        _row("agreement, later half, as it began", frozen),
        _row("orders disagree, refreshed", [row["order_bias"] for row in late]),
        _row("orders disagree, as it began", [row["frozen_order_bias"] for row in late]),
        _row("groups dropped by decoys", [row.get("guarded_frac", 0.0) for row in late]),
        _row("validation before", [result["validation"][0]["rate"] for result in results]),
        _row("validation after", [result["validation"][1]["rate"] for result in results]),
    ]
    gain = mean_difference(refreshed, frozen)
    return "\n".join(lines) + f"\n\nRefreshed against frozen, later half: {gain}."


def _first(result: Result) -> float:
    return float(next(row["agreement"] for row in result["critic"] if "agreement" in row))


def _row(label: str, values: Sequence[float]) -> str:
    cells = " | ".join(f"{value:.3f}" for value in values)
    return f"| {label} | {cells} | {mean_and_spread(values)} |"


def draw(results: Sequence[Result]) -> "Figure":
    """Both critics' agreement over iterations: each seed's, and their mean."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for color, (name, label) in enumerate(
        [("agreement", "refreshed"), ("frozen_agreement", "as it began")]
    ):
        curves = [[row.get(name, math.nan) for row in result["critic"]] for result in results]
        for curve in curves:
            axes.plot(range(1, len(curve) + 1), curve, f"C{color}", lw=0.7, alpha=0.4)
        means = [
            statistics.fmean(found) if (found := [v for v in some if v == v]) else math.nan
            for some in zip(*curves, strict=True)
        ]
        axes.plot(range(1, len(means) + 1), means, f"C{color}", lw=2, label=label)
    axes.axhline(0.5, color="grey", ls=":", lw=0.8)
    axes.set(xlabel="iteration", ylabel="agreement with the verifiers", ylim=(0, 1))
    axes.legend(fontsize="small")
    return figure
