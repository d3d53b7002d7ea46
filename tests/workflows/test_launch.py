"""What a recorded run gives back: its records, its tree, and a stage's inputs to run again."""

import json
from contextlib import suppress
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.lineage import pipeline_run
from infra.versions import identity_of
from schemas.artifacts import (
    Checkpoint,
    CleanCorpus,
    RawCorpus,
    RlResult,
    RolloutLog,
    TokenCorpus,
)
from schemas.recipe import Recipe
from tasks.work import record_of
from tests.workflows.conftest import Record
from workflows import find, launch, show
from workflows.audit import tree
from workflows.chain import Chain
from workflows.cli import app
from workflows.errors import NotRecordedError
from workflows.k2 import k2
from workflows.recorded import read_recorded
from workflows.stages import task_of

RAW = RawCorpus(digest="sha256:" + "a" * 64, counts={"documents": 3})
CLEAN = CleanCorpus(digest="sha256:" + "b" * 64)
TOKENS = TokenCorpus(digest="sha256:" + "c" * 64)
BASE = Checkpoint(digest="sha256:" + "d" * 64)
RECIPE = Recipe(name="toy")
Started = list[tuple[str, Any, dict[str, Any]]]


@pytest.fixture(scope="module", autouse=True)
def _toy_run(record: Record) -> None:
    """A run that got as far as its base model."""
    recipe = RECIPE.model_dump(mode="json")
    base = {"config": recipe["pretrain"], "shape": recipe["model"]}
    clean = {"config": recipe["clean"], "problems": recipe["problems"]}
    with suppress(KeyboardInterrupt), pipeline_run("toy-1", recipe):
        record("toy-1", "pretrain", {"tokens": TOKENS}, {"checkpoint": BASE}, **base)
        record("toy-1", "ingest", {}, {"raw_corpus": RAW}, config=recipe["ingest"])
        record("toy-1", "clean", {"raw": RAW}, {"clean_corpus": CLEAN}, **clean)
        raise KeyboardInterrupt


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What would have been run."""
    calls: Started = []
    monkeypatch.setattr(
        launch, "_run", lambda name, task, **inputs: calls.append((name, task, inputs))
    )
    return calls


def test_records_come_in_the_order_of_the_chain_and_the_recipe_comes_back() -> None:
    pipeline = find.find_pipeline("latest")
    assert list(find.records_of(pipeline)) == ["ingest", "clean", "pretrain"]
    assert find.recipe_of(pipeline) == RECIPE


def test_a_rerun_takes_recorded_inputs_and_changed_settings(started: Started) -> None:
    name, recipe, _ = launch.rerun_stage("pretrain", "toy", ["pretrain.optim.lr=1e-3"])
    ((started_name, task, inputs),) = started
    assert started_name == name
    assert name.startswith("toy-pretrain-")
    assert task.cache.behavior == "override"
    assert inputs == {
        "config": recipe.pretrain,
        "shape": RECIPE.model,
        "tokens": TOKENS,
        "placement": RECIPE.placement,
    }
    assert recipe.pretrain.optim.lr == 1e-3


def test_a_recipe_of_other_code_is_read_and_what_changes_is_told(
    started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = RECIPE.model_dump(mode="json")
    tree["pretrain"]["speed"] = 3  # a field that is gone
    tree["pretrain"]["optim"]["lr"] = "quick"  # a value that is no longer allowed
    del tree["rl"]["num_iterations"]  # one that came since
    tree["songs"] = {"count": 3}
    iterations = RECIPE.rl.num_iterations
    with suppress(KeyboardInterrupt), pipeline_run("old-1", tree):
        raise KeyboardInterrupt
    recipe = find.recipe_of(find.find_pipeline("old-1"))
    assert recipe.rl.num_iterations == iterations
    assert recipe == RECIPE.model_copy(update={"pretrain": recipe.pretrain})
    said = capsys.readouterr().err
    for words in (
        "run old-1 was recorded by other code",
        "pretrain.speed is no field any more (it was 3)",
        'pretrain.optim.lr cannot be "quick" any more',
        'songs is no field any more (it was {"count": 3})',
        f"rl.num_iterations is {iterations}, which the record does not say",
        f"pretrain.optim.lr is {recipe.pretrain.optim.lr}, which the record does not say",
    ):
        assert words in said
    for impossible in (
        {"ingest": {"files": [{"license": "MIT"}]}},
        {"model": {"experts_per_token": 99}},
    ):
        with pytest.raises(NotRecordedError, match="of other code, and cannot be read by this:\n"):
            read_recorded(dict(impossible))
    launch.rerun_stage("pretrain", "toy", [])
    assert capsys.readouterr().err == ""


def test_downstream_keeps_every_record_but_the_stage_that_was_rerun(started: Started) -> None:
    launch.rerun_downstream("clean", "toy", RECIPE)
    ((_, task, inputs),) = started
    assert task is k2
    assert [record.stage for record in inputs["recorded"]] == ["ingest", "pretrain"]


def test_only_equal_work_is_answered_from_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    record = find.records_of(find.find_pipeline("toy"))["clean"]
    monkeypatch.setattr("k2core.store.Store.find_fault", lambda store, artifact, verify=False: "")
    record = record.model_copy(update={"version": identity_of("clean", "1")})
    chain = Chain([record])
    task = task_of("clean")
    same = {"config": RECIPE.clean, "problems": RECIPE.problems, "raw": RAW}
    assert chain._recall(record_of("clean", "1", same), task) == CLEAN
    assert chain._recall(record_of("clean", "2", same), task) is None
    assert chain._recall(record_of("clean", "1", {**same, "raw": CLEAN}), task) is None


def test_an_unfinished_stage_and_an_unknown_run_are_named() -> None:
    with pytest.raises(NotRecordedError, match="run toy-1 recorded no finished sft; it has ingest"):
        launch.rerun_stage("sft", "toy", [])
    with pytest.raises(
        NotRecordedError, match=r"no pipeline run named 'x'; the newest are: .*toy-1"
    ):
        launch.rerun_stage("sft", "x", [])


def test_what_a_stage_made_is_shown_where_it_is_two_artifacts_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show.show_outputs("toy-clean", CLEAN)
    log = RolloutLog(digest="sha256:" + "e" * 64, counts={"rollouts": 3})
    show.show_outputs("toy-rl", RlResult(policy=BASE, rollouts=log))
    printed = capsys.readouterr().out
    assert all(artifact.digest[:40] in printed for artifact in (CLEAN, BASE, log))


def test_the_tree_names_makers_configs_and_what_nobody_recorded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tree.show_lineage(CLEAN.digest[:20])
    shown = " ".join(capsys.readouterr().out.split())
    for text in ("made by clean version 1", RAW.digest[:40], "made by ingest", "3 documents"):
        assert text in shown
    tree.show_lineage("dddd")
    assert "maker not recorded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "place", "found"),
    [
        (["runs", "--json"], ("runs", -1, "run"), "toy-1"),
        (["runs", "--json"], ("runs", -1, "done"), 3),
        (["lineage", CLEAN.digest, "--json"], ("artifact", "digest"), CLEAN.digest),
        (["lineage", CLEAN.digest, "--json"], ("stages", 1, "outputs", "raw_corpus", "digest"), 0),
        (["lineage", BASE.digest, "--json"], ("unrecorded", 0), TOKENS.digest),
    ],
)
def test_what_is_shown_is_json_where_one_asks(
    command: list[str], place: tuple[str | int, ...], found: object
) -> None:
    shown = CliRunner().invoke(app, command)
    value = json.loads(shown.stdout)
    for key in place:
        value = value[key]
    assert value == (found or RAW.digest)
