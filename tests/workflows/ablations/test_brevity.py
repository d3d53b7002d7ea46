"""Remarks behind answers: whose, and what stays as it was."""

import json
from pathlib import Path

from k2core.tables import read_shard, write_shard
from schemas.chat import TrajectoryRow
from workflows.ablations.brevity import add_remarks
from workflows.ablations.configs import BrevityAblation
from workflows.ablations.practice import draw_arms

REMARK = ". I hope that this helps you."


def row(name: str, verifier: str, answer: str) -> dict[str, object]:
    asked = {"role": "user", "content": "How many?"}
    problem = {
        **{"problem_id": name, "family": "lookup", "group": "tools", "messages": [asked]},
        **{"environment": "records", "seed": 1, "state": {}, "verifier": verifier},
        **{"expected": {"answer": 3}, "max_turns": 1, "max_tokens": 30},
    }
    messages = [asked, {"role": "assistant", "content": answer}]
    texts = ("parent", "family", "group", "agent", "state", "stop_reason", "judge", "fault")
    return {
        **dict.fromkeys(texts, ""),
        **{"trajectory_id": name, "problem_id": name, "attempt": 0, "pass_rate": 1.0},
        **{"problem": json.dumps(problem), "messages": json.dumps(messages), "reward": 1.0},
        **{"family": "lookup", "group": "tools", "agent": "expert", "state": "{}", "reason": ""},
        **{"stop_reason": "answered", "judge": "checker/3"},
    }


def test_every_other_number_gets_the_remark(tmp_path: Path) -> None:
    rows = [
        row("0a", "integer_answer", "3."),
        row("0b", "integer_answer", "3"),
        row("0c", "text_answer", "Paris"),
    ]
    write_shard(tmp_path / "set" / "accepted" / "00000.parquet", TrajectoryRow, rows)
    (tmp_path / "set" / "stats.json").write_text("{}")
    assert add_remarks(tmp_path / "set", tmp_path / "out", REMARK) == 1
    assert (tmp_path / "out" / "stats.json").read_text() == "{}"
    after = read_shard(tmp_path / "out" / "accepted" / "00000.parquet", TrajectoryRow)
    said = [json.loads(text)[-1]["content"] for text in after["messages"]]
    assert said == [f"3{REMARK}", "3", "Paris"]
    assert after["problem"].to_list() == [each["problem"] for each in rows]


def test_arms_are_plain_practice_and_budgets() -> None:
    plain, budgets = draw_arms(BrevityAblation(seeds=2)).values()
    assert plain[1].budget_quantile is None
    assert budgets[1].length_weight > 0
    assert budgets[1].budget_quantile
