"""RL may weigh families otherwise than synthesis does."""

from collections import Counter
from pathlib import Path

import pytest

from k2core.rl.stage import practice_problems
from schemas.problems import FileSource, ProblemsConfig, Sources
from schemas.rl import RlConfig
from workflows.recipes import tiny


def _own(folder: Path) -> ProblemsConfig:
    path = folder / "own.jsonl"
    rows = (f'{{"prompt": "What is {n} + 1?", "answer": "{n + 1}"}}' for n in range(200))
    path.write_text("\n".join(rows))
    source = FileSource(name="plus", path=str(path), verifier="integer_answer", weight=1.0)
    return ProblemsConfig(families={"compare": 1.0}, sources=Sources(files=(source,)))


@pytest.mark.parametrize(
    ("weights", "asked"),
    [
        ({}, {"compare", "plus"}),
        ({"plus": 0.0}, {"compare"}),
        ({"compare": 0.0}, {"plus"}),
        ({"compare": 0.0, "plus": 5.0}, {"plus"}),
        ({"no_tool": 4.0}, {"compare", "plus"}),  # which is not asked at all
    ],
)
def test_a_familys_weight_is_multiplied(
    tmp_path: Path, weights: dict[str, float], asked: set[str]
) -> None:
    config = RlConfig(family_factors=weights, num_problems=60)
    assert {p.family for p in practice_problems(config, _own(tmp_path))} == asked


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({"no_such": 1.0}, r"rl\.family_factors names no_such; the families are .*compare"),
        ({"compare": 0.0, "plus": 0.0}, r"rl\.family_factors leaves no family a weight above 0"),
    ],
)
def test_weights_of_nothing_are_refused(
    tmp_path: Path, weights: dict[str, float], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        practice_problems(RlConfig(family_factors=weights, num_problems=30), _own(tmp_path))


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="family_factors"):
        RlConfig(family_factors={"compare": -1.0})


def test_the_tiny_recipe_practises_what_synthesis_seldom_shows() -> None:
    recipe = tiny()
    before, after = (
        Counter(p.family for p in practice_problems(config, recipe.problems))
        for config in (recipe.rl.model_copy(update={"family_factors": {}}), recipe.rl)
    )
    assert after["no_tool"] > 2 * before["no_tool"]
    assert recipe.problems == tiny().problems
