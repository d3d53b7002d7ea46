"""Rollouts that are worth reading."""

from pathlib import Path

import polars as pl

from k2core.rl.browse import choose_rows, lay_side_by_side, summarise
from workflows.rollouts import Filter, filter_rollouts

ROWS = pl.DataFrame(
    [
        {
            "rollout_id": f"{number // 3:05d}/{number % 3:05d}",
            "problem_id": f"{family}/train/{number}",
            "family": family,
            "iteration": number // 3,
            "messages": '[{"role":"assistant","content":"said"}]',
            "logprobs": [None, surprise],
            "num_tokens": 1,
            "reward": reward,
            "advantage": advantage,
            "reason": reason,
        }
        for number, (family, reward, advantage, reason, surprise) in enumerate(
            [
                ("a", 1.0, 0.5, "", -0.1),
                ("a", 0.0, -0.5, "wrong_answer", -0.2),
                ("b", 0.0, -0.1, "over_budget", -0.3),
                ("b", 1.0, 0.2, "", -9.0),
                ("b", 1.0, 0.1, "", -0.1),
                ("a", 0.5, 0.0, "wrong_form", -0.1),
            ]
        )
    ]
)


def test_each_kind_has_its_own() -> None:
    chosen = {name: row["rollout_id"] for name, row in choose_rows(ROWS, 1)}
    assert chosen == {
        "best": "00000/00000",
        "worst": "00000/00001",
        "rejected": "00001/00002",
        "odd": "00001/00000",
    }


def test_a_line_an_iteration_counts_reasons() -> None:
    first, second = summarise(ROWS)
    assert first == (0, 3, "0.333", "1.0", "1 x wrong_answer, 1 x over_budget")
    assert (second.iteration, second.reasons) == (1, "1 x wrong_form")


def test_filters_join() -> None:
    def of(wanted: Filter) -> list[str]:
        return [str(name) for name in filter_rollouts(ROWS, wanted)["rollout_id"]]

    assert of(Filter("b")) == ["00000/00002", "00001/00000", "00001/00001"]
    assert of(Filter(reward=0.5)) == ["00001/00002"]
    assert of(Filter(reason="wrong", iteration=0)) == ["00000/00001"]


def test_the_report_lays_iterations_side_by_side(tmp_path: Path) -> None:
    paths = []
    for number in range(20):
        paths.append(tmp_path / f"{number}.parquet")
        ROWS.filter(pl.col("iteration") == number % 2).write_parquet(paths[-1])
    rows = list(lay_side_by_side(paths))
    assert [row["iteration"] for row in rows] == ["1", "4", "7", "10", "13", "16", "19", "20"]
    assert rows[0]["best"] == "a/train/0 reward 1\nassistant said"
