"""Rubrics: what is built in, what a file of one's own may say, and how a bad one is named."""

from collections import Counter
from pathlib import Path

import pytest

from k2core.critic import CHECKS, context_of, load_rubric
from schemas.chat import Message, Problem
from schemas.rubrics import RUBRIC, CriticConfig, RubricFile, parse_criteria

GOOD = "- {id: rhymes, kind: context, applies: [ode], wording: Every second line rhymes.}"


def posed(verifier: str = RUBRIC, **expected: str) -> Problem:
    return Problem(
        problem_id="talk/train/1",
        family="talk",
        group="general",
        messages=(Message(role="user", content="Why does it rain?"),),
        verifier=verifier,
        expected=dict(expected),
    )


def written(folder: Path, rows: str) -> RubricFile:
    path = folder / "mine.yaml"
    path.write_text(f"criteria:\n{rows}\n")
    return RubricFile(path=str(path))


def test_the_reports_criteria_and_thirty_of_contexts_are_built_in() -> None:
    rubric = load_rubric()
    kinds = Counter(criterion.kind for criterion in rubric.criteria)
    assert kinds["context"] >= 30
    assert {c.id for c in rubric.criteria if c.kind == "core"} >= {
        "clarity_and_relevance",
        "fluency_and_engagement",
        "objective_and_grounded",
    }
    rules = {c.id: c.check for c in rubric.criteria if c.kind == "prescriptive"}
    assert {"no_initial_praise", "no_self_justification"} <= rules.keys()
    assert set(rules.values()) == CHECKS.keys()  # each check has a rule, each rule a check
    assert len({c.id for c in rubric.criteria}) == len(rubric.criteria)


def test_a_problem_is_held_against_the_criteria_of_its_context() -> None:
    rubric = load_rubric()
    advice = {criterion.id for criterion in rubric.of(posed(context="advice"))}
    assert {"can_be_acted_on", "clarity_and_relevance"} <= advice
    assert not {"keeps_the_form", "correct", "no_verdict"} & advice
    assert {c.id for c in rubric.of(posed())} < advice
    assert "correct" in {criterion.id for criterion in rubric.of(posed("text_answer"))}
    assert context_of(posed("text_answer", context="advice")) == "verifiable"
    with pytest.raises(ValueError, match=r"talk/train/1: context: 'odes' is of no criterion"):
        rubric.of(posed(context="odes"))


def test_a_file_of_ones_own_joins_and_travels_with_the_config(tmp_path: Path) -> None:
    config = CriticConfig(rubrics=(written(tmp_path, GOOD),))
    (tmp_path / "mine.yaml").unlink()
    again = CriticConfig.model_validate_json(config.model_dump_json())
    assert again == config
    assert again.rubrics[0].path == "mine.yaml"
    assert "rhymes" in {c.id for c in load_rubric(again.rubrics).of(posed(context="ode"))}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("- 7", r"mine.yaml, row 1: row: must be an object"),
        ("", r"mine.yaml: must be one key, `criteria`"),
        ("- {id: Rhymes!, kind: core, wording: A wording.}", r"row 1: id: "),
        ("- {id: rhymes, kind: odd, wording: A wording.}", r"row 1: kind: .*'core'"),
        ("- {id: rhymes, kind: core}", r"row 1: wording: Field required"),
        ("- {id: rhymes, kind: core, wording: short}", r"row 1: wording: "),
        (f"{GOOD}\n- {{id: rhymes, kind: core, wording: A wording.}}", r"row 2: id: .* row 1"),
        ("- {id: rhymes, kind: core, wording: A wording., weight: 2}", r"row 1: weight: Extra"),
        ("- {id: rhymes, kind: context, wording: A wording.}", r"row 1: kind: applies of a"),
        ("- {id: rule, kind: prescriptive, wording: A wording.}", r"row 1: kind: check belongs"),
        ("- {id: a: b", r"mine.yaml: is no YAML"),
    ],
)
def test_a_bad_file_is_named_by_file_row_and_field(tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        written(tmp_path, rows)


def test_what_only_the_whole_shows_is_named_too(tmp_path: Path) -> None:
    rule = "- {id: rule, kind: prescriptive, check: magic, wording: A wording.}"
    with pytest.raises(ValueError, match=r"mine.yaml, row 1: check: 'magic' is none of initial_"):
        load_rubric([written(tmp_path, rule)])
    twin = "- {id: correct, kind: core, wording: A wording.}"
    with pytest.raises(ValueError, match=r"mine.yaml, row 1: id: correct is built in"):
        load_rubric([written(tmp_path, twin)])
    with pytest.raises(ValueError, match=r"nowhere.yaml: cannot be read"):
        RubricFile(path=str(tmp_path / "nowhere.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"bytes.yaml: is no UTF-8"):
        RubricFile(path=str(tmp_path / "bytes.yaml"))


def test_yaml_cannot_make_objects() -> None:
    with pytest.raises(ValueError, match=r"x.yaml: is no YAML"):
        parse_criteria("x.yaml", "criteria: !!python/object/apply:os.getcwd []")
