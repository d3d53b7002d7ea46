"""Answers as rows: experts pass, broken calls are counted, and rows keep their promise."""

import random
from typing import get_args

import polars as pl
import pytest

from k2core.agents import Dialogue, Habits, play_expert
from k2core.environments import open_environment
from k2core.evaluate.answers import answer_rows, count_calls, is_valid_call, samples_of
from k2core.evaluate.conditions import cut_off, score_variants, valid_calls
from k2core.evaluate.scoring import changes, count_reasons, pass_curves, rates_by
from k2core.problems import (
    FAMILIES,
    held_out_problems,
    plain_name,
    pose_training,
    variant_of,
    vary,
)
from k2core.rewards import judge_dialogues
from schemas.chat import ToolCall, ToolSpec
from schemas.evaluate import AnswerRow
from schemas.problems import ProblemsConfig, Variant

TOOL = ToolSpec(
    name="add",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    },
)


def expert(family: str, index: int = 0) -> Dialogue:
    posed = pose_training(ProblemsConfig(families={family: 1.0}), index)
    script = FAMILIES[family].act(posed, shortcut=False)
    return play_expert(posed.problem, script, Habits(), random.Random(0))


def call(name: str, arguments: str) -> ToolCall:
    return ToolCall(id=f"functions.{name}:0", name=name, arguments=arguments)


@pytest.mark.parametrize(
    ("made", "valid"),
    [
        (call("add", '{"a": 3}'), True),
        (call("add", '{"a": "3"}'), False),
        (call("add", "{}"), False),
        (call("add", '{"a": 3, "b": 4}'), False),
        (call("add", '{"a": 3'), False),
        (call("plus", '{"a": 3}'), False),
    ],
)
def test_a_valid_call_names_a_tool_and_fits_its_schema(made: ToolCall, valid: bool) -> None:
    assert is_valid_call(made, {"add": TOOL}) is valid


def test_a_broken_schema_is_the_problems_fault() -> None:
    broken = ToolSpec(name="add", parameters={"type": 7})
    with pytest.raises(ValueError, match="tool add"):
        is_valid_call(call("add", "{}"), {"add": broken})


def test_a_message_that_breaks_the_template_is_an_invalid_call() -> None:
    dialogue = expert("lookup")
    assert count_calls(dialogue) == (1, 1)
    assert count_calls(dialogue._replace(stop_reason="malformed")) == (2, 1)


def test_rows_keep_their_promise_and_samples_are_numbered() -> None:
    dialogues = [expert(family) for family in ("lookup", "lookup", "compare", "pick_word")]
    wrong = dialogues[0]._replace(messages=dialogues[0].messages[:-1], stop_reason="turn_limit")
    dialogues.append(wrong)
    rows = answer_rows("sft", dialogues, judge_dialogues(dialogues))
    frame = AnswerRow.validate(pl.DataFrame(rows))
    assert [row.rsplit("/", 1)[1] for row in frame["answer_id"]] == ["0", "1", "0", "0", "2"]
    assert frame["passed"].to_list() == [True, True, True, True, False]
    assert frame["reason"].to_list() == ["", "", "", "", "over_budget"]
    rates = rates_by({"sft": frame, "policy": frame}, "family")
    assert list(rates) == ["compare", "lookup", "pick_word"]
    assert (rates["lookup"]["sft"].passed, rates["lookup"]["sft"].total) == (2, 3)
    assert list(rates_by({"sft": frame}, "group")) == ["math", "tools", "general"]
    assert valid_calls(frame).rate == 1.0


def test_samples_of_a_problem_stand_together() -> None:
    first, second = expert("lookup").problem, expert("compare").problem
    assert samples_of([first, second], 2) == [first, first, second, second]


def graded(family: str, passed: list[list[bool]]) -> pl.DataFrame:
    rows = [
        {"family": family, "problem_id": f"{family}/{n}", "passed": ok, "faulty": False}
        | {"reason": "" if ok else "wrong_answer"}
        for n, samples in enumerate(passed)
        for ok in samples
    ]
    return pl.DataFrame(rows)


def test_changes_are_paired_by_problem_and_marked_both_ways() -> None:
    sft = pl.concat([graded("won", [[False]] * 10 + [[True]] * 90), graded("lost", [[True]] * 30)])
    policy = pl.concat(
        [graded("won", [[True]] * 100), graded("lost", [[False]] * 12 + [[True]] * 18)]
    )
    found = changes(sft, policy)
    assert [(found[f].gained, found[f].lost, found[f].mark) for f in ("won", "lost", "all")] == [
        (10, 0, "+"),
        (0, 12, "-"),
        (10, 12, ""),
    ]
    assert found["won"].p_value == 2 / 2**10
    assert found["won"].p_corrected == 2 / 2**10  # the larger of both keeps its own
    assert found["lost"].p_corrected == 2 * 2 / 2**12


def test_samples_of_a_problem_stay_together() -> None:
    rows = graded("lookup", [[True, True, False, True], [False] * 4])
    rates = rates_by({"sft": rows.with_columns(group=pl.lit("tools"))}, "family")
    assert (rates["lookup"]["sft"].passed, rates["lookup"]["sft"].total) == (3, 8)
    assert pass_curves(rows) == {
        "pass@k": {"1": 0.375, "2": 0.5, "4": 0.5},
        "pass^k": {"1": 0.375, "2": 0.25, "4": 0.0},
    }
    assert count_reasons(rows) == {"wrong_answer": 5}


def asked(split: str, passed: list[bool], calls: int, valid: int) -> pl.DataFrame:
    rows = [
        {"split": split, "family": "lookup", "problem_id": f"lookup/{split}/{n}", "passed": ok}
        | {"faulty": False, "num_calls": calls, "num_valid_calls": valid}
        | {"stop_reason": "answered" if ok else "token_budget"}
        for n, ok in enumerate(passed)
    ]
    return pl.DataFrame(rows)


def test_a_condition_is_held_against_the_same_problems_asked_plainly() -> None:
    plain = asked("held_out", [True, False, False, True, True, False], 4, 3)
    enforced = asked("enforced", [True, True, True], 4, 4)
    found = score_variants({"policy": pl.concat([plain, enforced])})["enforced"]["policy"]
    assert (found.rate.passed, found.plain.passed, found.plain.total) == (3, 1, 3)
    assert (found.change.gained, found.change.lost, found.change.total) == (2, 0, 3)
    assert (found.tool_calls.rate, found.plain_tool_calls.rate) == (1.0, 0.75)
    assert (cut_off(plain).passed, cut_off(plain).total) == (3, 6)


def test_conditions_apply_to_the_problems_that_they_fit() -> None:
    held = held_out_problems(ProblemsConfig(held_out_per_family=3))
    varied = vary(held, 2)
    by = {v: {p.family for p in varied if variant_of(p.problem_id) == v} for v in get_args(Variant)}
    plain = {p.problem_id: p for p in held}
    with_tools = {p.family for p in held if p.tools}
    assert (
        by["unseen_tools"]
        == by["unseen_enforced"]
        == by["enforced"]
        == by["failing_tools"]
        == with_tools
    )
    assert by["unfit_tools"] == {p.family for p in held} - with_tools
    assert by["one_shot"] == {"sum_with_tool", "product_with_tool", "compare"}
    for problem in varied:
        same = plain[plain_name(problem.problem_id)]
        assert (problem.messages, problem.expected) == (same.messages, same.expected)
        assert bool(problem.tools) == (variant_of(problem.problem_id) != "one_shot")
        open_environment(problem)
    assert len({p.problem_id for p in (*held, *varied)}) == len(held) + len(varied)
    assert vary(held, 0) == []
