"""The splits: disjoint, seeded, as large as asked; every problem is what it says."""

import json
import re
from itertools import islice

import jsonschema
import pytest
from pydantic import ValidationError

from k2core.environments import open_environment
from k2core.problems import (
    FAMILIES,
    TooFewContentsError,
    held_out_problems,
    pose_training,
    split_of,
    training_problem,
    training_problems,
    validation_problems,
)
from k2core.rewards import VERIFIERS
from schemas.chat import Problem
from schemas.problems import DEFAULT_WEIGHTS, FAMILY_GROUPS, ProblemsConfig

ALL = {name: weight or 1.0 for name, weight in DEFAULT_WEIGHTS.items()}
CONFIG = ProblemsConfig(seed=3, held_out_per_family=40, families=ALL)
HELD_OUT = held_out_problems(CONFIG)
VALIDATION = validation_problems(CONFIG, 20)
TRAINING = [pose_training(CONFIG, index) for index in range(1500)]


def words_of(problem: Problem) -> str:
    return " ".join((problem.messages[0].content, *problem.follow_ups))


def test_the_registry_is_what_the_config_knows() -> None:
    assert set(FAMILIES) == set(FAMILY_GROUPS) == set(DEFAULT_WEIGHTS)
    assert {family.group for family in FAMILIES.values()} == {"math", "tools", "code", "general"}


def test_held_out_contents_are_never_trained_on() -> None:
    for problem, content in TRAINING:
        assert split_of(CONFIG, FAMILIES[problem.family], content) == "train"
    asked = {(p.family, words_of(p), json.dumps(p.expected)) for p, _ in TRAINING}
    chosen_on = {(p.family, words_of(p), json.dumps(p.expected)) for p in VALIDATION}
    assert asked.isdisjoint((p.family, words_of(p), json.dumps(p.expected)) for p in HELD_OUT)
    assert chosen_on.isdisjoint((p.family, words_of(p), json.dumps(p.expected)) for p in HELD_OUT)
    assert asked.isdisjoint(chosen_on)


def test_a_sum_lies_in_one_split_whichever_family_asks_it() -> None:
    mental, tool = FAMILIES["sum_mental"], FAMILIES["sum_with_tool"]
    contents = [{"a": a, "b": b} for a in range(10, 41) for b in range(10, 41)]
    found = [split_of(CONFIG, mental, content) for content in contents]
    assert found == [split_of(CONFIG, tool, {"a": c["b"], "b": c["a"]}) for c in contents]
    assert set(found) == {"train", "validation", "held_out"}


def asked_of(problem: Problem) -> set[tuple[str, ...]]:
    """What an answer gives away, read from the problem: operands, or records with their values."""
    if problem.group == "math":
        sort = "sum" if problem.family.startswith("sum") else problem.family
        return {(sort, *sorted(re.findall(r"\d+", words_of(problem))))}
    data: dict[str, dict[str, str]] = problem.state.get("data", {})  # type: ignore[assignment]
    values = str(problem.expected.get("answer", "")).split(", ")
    words = re.findall(r"\w+", words_of(problem))
    return {
        (table, key, value)
        for table in data.keys() & set(words)
        if isinstance(data[table], dict)
        for key, value in data[table].items()
        if value in values
    }


def test_what_a_held_out_answer_says_no_training_answer_says_in_any_family() -> None:
    trained = {asked for problem, _ in TRAINING for asked in asked_of(problem)}
    chosen = {asked for problem in VALIDATION for asked in asked_of(problem)}
    families = {"sum_mental", "sum_with_tool", "lookup", "lookup_chain", "lookup_pair", "retry"}
    held = {p.problem_id: asked_of(p) for p in HELD_OUT if p.family in families}
    assert all(held.values())
    assert len(trained) > 600
    assert [name for name, asked in held.items() if asked & (trained | chosen)] == []


def test_about_the_stated_share_of_contents_is_set_apart() -> None:
    import random

    rng = random.Random(0)
    single = [family for family in FAMILIES.values() if family.name != "lookup_pair"]
    for family in single:  # a pair lies in one split only where both of its records do
        splits = [split_of(CONFIG, family, family.draw(rng)) for _ in range(1000)]
        assert 120 < splits.count("held_out") < 290, family.name
        assert 45 < splits.count("validation") < 165, family.name


def test_each_family_holds_out_as_many_different_problems() -> None:
    for name in FAMILIES:
        problems = [p for p in HELD_OUT if p.family == name]
        assert len(problems) == 40
        assert len({p.problem_id for p in problems}) == 40
    assert len({p.problem_id for p in HELD_OUT} | {p.problem_id for p, _ in TRAINING}) == (
        len(HELD_OUT) + len(TRAINING)
    )


def test_equal_configs_give_equal_problems_at_any_index() -> None:
    again = ProblemsConfig(**CONFIG.model_dump())
    assert held_out_problems(again) == HELD_OUT
    assert [training_problem(again, i) for i in (1200, 7)] == [
        TRAINING[1200].problem,
        TRAINING[7].problem,
    ]
    assert list(islice(training_problems(again, start=5), 3)) == [p for p, _ in TRAINING[5:8]]
    assert held_out_problems(CONFIG.model_copy(update={"seed": 4})) != HELD_OUT


def test_families_come_by_their_weights() -> None:
    config = ProblemsConfig(families={"lookup": 3.0, "compare": 1.0, "retry": 0.0})
    names = [training_problem(config, i).family for i in range(400)]
    assert set(names) == {"lookup", "compare"}
    assert 260 < names.count("lookup") < 340
    assert {p.family for p in held_out_problems(config)} == {"lookup", "compare"}


def test_more_than_there_is_cannot_be_held_out() -> None:
    config = ProblemsConfig(
        families={"sum_mental": 1.0}, held_out_per_family=60, held_out_frac=0.02
    )
    with pytest.raises(
        TooFewContentsError, match=r"sum_mental has only .* raise problems.held_out_frac"
    ):
        held_out_problems(config)


@pytest.mark.parametrize(
    ("families", "message"),
    [
        ({"sums": 1.0}, "unknown families"),
        ({"lookup": -1.0}, "at least 0"),
        ({"lookup": 0.0}, "all weights are 0"),
    ],
)
def test_bad_weights_are_refused(families: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ProblemsConfig(families=families)


def test_every_problem_is_served_and_verified_by_something() -> None:
    for problem in HELD_OUT + [p for p, _ in TRAINING[:300]]:
        assert problem.verifier in VERIFIERS
        assert problem.group == FAMILY_GROUPS[problem.family]
        assert problem.rubric
        open_environment(problem)
        for tool in problem.tools:
            jsonschema.Draft202012Validator.check_schema(tool.parameters)
        names = [tool.name for tool in problem.tools]
        assert len(names) == len(set(names))


def test_the_answer_is_not_in_the_question() -> None:
    hidden = [p for p in HELD_OUT if p.group == "tools" and "answer" in p.expected]
    assert hidden
    for problem in hidden:
        assert str(problem.expected["answer"]) not in words_of(problem)


def test_some_users_tell_the_goal_in_two_turns() -> None:
    several = [p for p, _ in TRAINING if p.follow_ups]
    assert {"sum_with_tool", "lookup", "transfer"} <= {p.family for p in several}
    one_turn = ProblemsConfig(seed=3, two_turn_frac=0.0)
    assert not any(training_problem(one_turn, i).follow_ups for i in range(300))
