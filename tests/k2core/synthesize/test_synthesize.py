import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest
from pydantic import TypeAdapter, ValidationError

from k2core.chat import validate_dialogue
from k2core.problems import pose_training
from k2core.rewards import Outcome, verify
from k2core.sandbox import Sandbox
from k2core.store import Draft, Store, digest_of, manifest_of
from k2core.synthesize import synthesize_trajectories
from k2core.synthesize.judge import JUDGE, Judge
from k2core.synthesize.sessions import Work, open_play
from k2core.synthesize.stage import make_shards
from k2core.synthesize.trajectories import Conditions, draw_conditions, sample_problem
from k2core.tables import list_shards, read_shard
from schemas.chat import Message, Problem, ToolSpec, TrajectoryRow
from schemas.placement import Placement
from schemas.problems import ProblemsConfig
from schemas.synthesize import SynthesizeConfig

MESSAGES = TypeAdapter(tuple[Message, ...])
SPEC = ToolSpec(
    name="weather",
    description="Tells the weather.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": []},
)
# Few with code, which takes a process each.
PROBLEMS = ProblemsConfig(
    families={
        "sum_with_tool": 1.0,
        "lookup": 2.0,
        "lookup_chain": 1.0,
        "retry": 2.0,
        "transfer": 2.0,
        "pick_word": 1.0,
        "linear_function": 0.1,
    },
    two_turn_frac=0.5,
)
CONFIG = SynthesizeConfig(
    num_problems=240,
    num_scenarios=0,
    shard_problems=80,
    live_per_server=0,
    slip_frac=0.1,
    failure_frac=0.15,
    outage_frac=0.1,
    silent_user_frac=0.2,
    distractor_frac=0.3,
    unfit_frac=0.5,
    beside_frac=0.3,
    max_attempts=3,
)
HERE = Placement()


def synthesize(root: Path, config: SynthesizeConfig = CONFIG, placement: Placement = HERE) -> Draft:
    return synthesize_trajectories(config, PROBLEMS, Store(root).workspace("synthesize"), placement)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Draft:
    return synthesize(tmp_path_factory.mktemp("made"))


def read_rows(draft: Draft, kind: str) -> list[dict[str, Any]]:
    shards = list_shards(draft.folder / kind)
    return pl.concat([read_shard(path, TrajectoryRow) for path in shards]).to_dicts()


def read_json(draft: Draft, name: str) -> Any:
    return json.loads((draft.folder / name).read_text())


def digest(draft: Draft) -> str:
    return digest_of(manifest_of(draft.folder))


def test_accepted_dialogues_pass_their_checker_and_rejects_say_whose_fault(made: Draft) -> None:
    accepted, rejects = read_rows(made, "accepted"), read_rows(made, "rejects")
    assert {(row["reward"], row["reason"]) for row in accepted} == {(1.0, "")}
    assert all(row["reward"] < 1 for row in rejects)
    sides = Counter(row["reason"].split(": ")[0] for row in rejects)
    assert sides.keys() == {"agent", "environment", "user"}
    answers = [row for row in accepted if '"verifier":"text_answer"' in row["problem"]]
    assert len(answers) > 80
    for row in answers:
        problem = Problem.model_validate_json(row["problem"])
        messages = MESSAGES.validate_json(row["messages"])
        assert verify(problem, Outcome(messages, {})).reward == 1.0


def test_calls_are_counted_over_each_dialogue(made: Draft) -> None:
    for row in read_rows(made, "accepted") + read_rows(made, "rejects"):
        messages = MESSAGES.validate_json(row["messages"])
        validate_dialogue(messages)
        ids = [call.id for m in messages for call in m.tool_calls]
        assert [int(i.rpartition(":")[2]) for i in ids] == list(range(len(ids)))
        assert all(i.startswith("functions.") for i in ids)


def test_some_dialogues_say_something_beside_a_call_or_declare_what_does_not_fit(
    made: Draft,
) -> None:
    rows = [(row["family"], row["problem"], row["messages"]) for row in read_rows(made, "accepted")]
    beside = unfit = 0
    for family, problem, messages in rows:
        said = MESSAGES.validate_json(messages)
        beside += any(m.content and m.tool_calls for m in said)
        idle = family == "pick_word" and bool(Problem.model_validate_json(problem).tools)
        unfit += idle and not any(m.tool_calls for m in said)
    assert beside > 15
    assert unfit > 3


def test_problems_are_tried_until_one_is_accepted(made: Draft) -> None:
    accepted = Counter(row["problem_id"] for row in read_rows(made, "accepted"))
    rejected = Counter(row["problem_id"] for row in read_rows(made, "rejects"))
    assert set(accepted.values()) == {1}
    assert max(rejected.values()) <= CONFIG.max_attempts
    lost = {problem for problem, count in rejected.items() if count == CONFIG.max_attempts}
    assert lost.isdisjoint(accepted)
    assert accepted.keys() | lost == accepted.keys() | rejected.keys()
    assert len(accepted.keys() | rejected.keys()) == CONFIG.num_problems
    assert made.counts["trajectories"] == accepted.total() > 220
    assert made.counts["rejects"] == rejected.total()


def test_rows_are_told_apart_and_name_who_acted_and_who_judged(made: Draft) -> None:
    rows = read_rows(made, "accepted") + read_rows(made, "rejects")
    assert len({row["trajectory_id"] for row in rows}) == len(rows)
    assert {(row["agent"], row["judge"]) for row in rows} == {("expert", JUDGE)}


def test_statistics_are_those_of_the_tables(made: Draft) -> None:
    stats = read_json(made, "stats.json")
    for kind, name in (("accepted", "accepted"), ("rejects", "rejected")):
        assert stats[name] == Counter(row["family"] for row in read_rows(made, kind))
    assert stats["reasons"] == Counter(row["reason"] for row in read_rows(made, "rejects"))
    num_calls = Counter(
        str(sum(len(m.tool_calls) for m in MESSAGES.validate_json(row["messages"])))
        for row in read_rows(made, "accepted")
    )
    assert stats["calls"] == num_calls


def test_every_tool_is_catalogued_once_with_schema_and_licence(made: Draft) -> None:
    tools = read_json(made, "tools.json")
    for tool in tools:
        jsonschema.Draft202012Validator.check_schema(tool["parameters"])
        ToolSpec(**{key: tool[key] for key in ToolSpec.model_fields})
        assert tool["license"]
    assert {tool["role"] for tool in tools} == {"generated", "listed"}
    sources = read_json(made, "sources.json")
    assert {n: about["tools"] for n, about in sources.items()} == Counter(
        tool["source"] for tool in tools
    )
    assert made.counts["tools"] == len(tools)
    known = {tool["name"] for tool in tools}
    for row in read_rows(made, "accepted"):
        assert {t.name for t in Problem.model_validate_json(row["problem"]).tools} <= known


def test_distractors_are_declared_at_the_stated_rate_and_never_called(made: Draft) -> None:
    listed = {t["name"] for t in read_json(made, "tools.json") if t["role"] == "listed"}
    generated = {t["name"] for t in read_json(made, "tools.json") if t["role"] == "generated"}
    with_tools, distracted = 0, 0
    for row in read_rows(made, "accepted"):
        problem = Problem.model_validate_json(row["problem"])
        foreign = {tool.name for tool in problem.tools} & (listed - generated)
        with_tools += bool(problem.tools)
        distracted += bool(foreign)
        called = {c.name for m in MESSAGES.validate_json(row["messages"]) for c in m.tool_calls}
        assert called.isdisjoint(foreign)
    assert 0.2 < distracted / with_tools < 0.4


def test_a_distractor_changes_nothing_but_the_declarations() -> None:
    every = CONFIG.model_copy(update={"distractor_frac": 1.0, "unfit_frac": 0.0})
    with Sandbox.start() as sandbox:
        judge = Judge(sandbox)
        for index in range(40):
            *_, (dialogue, *_) = sample_problem(every, PROBLEMS, index, judge, [SPEC])
            tools = dialogue.problem.tools
            own = pose_training(PROBLEMS, index).problem.tools
            assert tuple(tool for tool in tools if tool != SPEC) == own
            assert (SPEC in tools) == bool(own)


def test_at_most_one_side_is_spoilt() -> None:
    rng = random.Random(0)
    posed = [pose_training(PROBLEMS, index) for index in range(60)]
    bad = CONFIG.model_copy(update={"outage_frac": 0.5, "silent_user_frac": 0.9})
    drawn = [(p, draw_conditions(bad, p, rng, has_shortcut=True)) for p in posed * 10]
    assert not any(c.outage and c.silent_user for _, c in drawn)
    assert all(p.problem.tools for p, c in drawn if c.outage)
    assert all(p.problem.follow_ups for p, c in drawn if c.silent_user)
    assert any(c.outage for _, c in drawn)
    assert any(c.silent_user for _, c in drawn)
    never = CONFIG.model_copy(
        update=dict.fromkeys(
            (
                *("shortcut_frac", "slip_frac", "failure_frac"),
                *("outage_frac", "silent_user_frac", "beside_frac"),
            ),
            0.0,
        )
    )
    plain = {draw_conditions(never, p, rng, has_shortcut=True) for p in posed}
    assert plain == {Conditions(habits=next(iter(plain)).habits)}


def test_equal_configs_give_equal_bytes_and_another_seed_does_not(
    made: Draft, tmp_path: Path
) -> None:
    assert digest(synthesize(tmp_path / "same")) == digest(made)
    other = CONFIG.model_copy(update={"seed": 1})
    assert digest(synthesize(tmp_path / "other", other)) != digest(made)


def test_dialogues_do_not_depend_on_the_shards(made: Draft, tmp_path: Path) -> None:
    one = synthesize(tmp_path, CONFIG.model_copy(update={"shard_problems": 1000}))
    assert len(list_shards(one.folder / "accepted")) == 1
    for kind in ("accepted", "rejects"):
        assert read_rows(one, kind) == read_rows(made, kind)


def test_a_killed_run_goes_on_after_the_last_whole_shard(made: Draft, tmp_path: Path) -> None:
    from k2core.synthesize.catalog import pick_distractors
    from k2core.tools.listed import read_listed_tools

    workspace = Store(tmp_path).workspace("synthesize")
    distractors = pick_distractors(read_listed_tools(), CONFIG.max_distractor_chars)
    with Sandbox.start() as sandbox:
        judge = Judge(sandbox)
        with open_play(Work(CONFIG, PROBLEMS, distractors), judge) as play:
            begun = make_shards(CONFIG, PROBLEMS, workspace, judge, play)
            whole, half = next(begun), next(begun)
    half.rejects.unlink()  # killed between a shard's two tables
    before = [path.stat().st_mtime_ns for path in (*whole, half.accepted)]
    assert digest(synthesize(tmp_path)) == digest(made)
    after = [path.stat().st_mtime_ns for path in (*whole, half.accepted)]
    assert after[:2] == before[:2]
    assert after[2] > before[2]


def test_no_server_is_needed_for_what_does_not_ask_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K2_MCP_VENV", str(tmp_path / "nowhere"))
    alone = CONFIG.model_copy(update={"distractor_frac": 0.0, "num_problems": 10})
    draft = synthesize(tmp_path, alone)
    assert read_json(draft, "sources.json").keys() == {"k2core.problems"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"failure_frac": 0.6, "outage_frac": 0.4}, r"= 1\.01: nothing would be accepted"),
        ({"num_problems": 0}, "num_problems"),
        ({"slip_frac": 1.5}, "slip_frac"),
        ({"max_attempt": 2}, "Extra inputs"),
    ],
)
def test_a_config_that_cannot_work_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SynthesizeConfig.model_validate(values)
