"""What the unchanged client does on a control plane: deploy, launch, rerun, recover, abort."""

import json
import sys
from pathlib import Path
from typing import cast
from urllib.parse import unquote

import pytest
from google.protobuf.json_format import MessageToDict

from infra.tracking import find_runs
from schemas.recipe import STAGES
from tests.console.actions import ABORTED, FAILED, RECOVERED, RUNNING, SUCCEEDED, container_of
from tests.console.conftest import PROJECT, Console
from workflows.console import DEPLOYED
from workflows.find import find_pipeline, records_of
from workflows.recipes import smoke
from workflows.stages import TASKS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

RUN = ("run", "--run-project", "k2", "--run-domain", "development", "deployed-task")
SWITCH = ("update", "trigger", "on_corpus", "k2.clean_and_tokenize")
FEW = {
    "num_knowledge": 20,
    "num_web": 2,
    "num_code": 3,
    "num_tool_specs": 5,
    "num_math": 20,
    "num_tables": 5,
}


def launch(console: Console, task: str, **inputs: object) -> str:
    """Launch a deployed task; its run's name."""
    before = {run for run, _ in console.plane.runs.actions}
    options = [
        text
        for name, value in inputs.items()
        for text in (f"--{name}", value if isinstance(value, str) else json.dumps(value))
    ]
    console.flyte(*RUN, task, *options)
    (run,) = {run for run, _ in console.plane.runs.actions} - before
    return run


def test_everything_is_deployed_as_it_will_run(console: Console) -> None:
    registry = console.plane.registry
    names = {name for name, _ in registry.tasks}
    assert names == {task.name for task in (*DEPLOYED, *TASKS.values())}
    for name in names:
        spec = registry.spec(name)
        container = container_of(spec)
        assert str(container["image"]).startswith("registry.example/team/k2-cpu:")
        args = cast("list[str]", container["args"])
        assert args[0] == "a0"
        pairs = cast("list[dict[str, str]]", container["env"])
        stated = {pair["name"]: pair["value"] for pair in pairs}
        assert console.variables.items() <= stated.items()
        assert len(stated["K2_CODE_VERSION"]) >= 40
        inputs = spec.task_template.interface.inputs.variables
        assert [f"{name}.{v.key}" for v in inputs if not v.value.description] == []
        assert spec.documentation.short_description
    form = {d.name: d.parameter.default for d in registry.spec("k2.k2_1t").default_inputs}
    assert form.keys() == {"recipe"}
    assert "K21tRecipe" in str(MessageToDict(registry.spec("k2.k2_1t").task_template.interface))


def test_stages_are_chained_by_name_and_cached(console: Console) -> None:
    console.flyte(*SWITCH, "--deactivate", *PROJECT)
    first = launch(console, "k2.ingest", config=FEW)
    assert console.plane.wait(first).phase == SUCCEEDED, console.plane.runs.action(first).error
    runs = []
    for _ in range(2):
        runs.append(launch(console, "k2.clean", raw=f"{first}/ingest"))
        assert console.plane.wait(runs[-1]).phase == SUCCEEDED
    made, again = (console.plane.stages(run)["clean"] for run in runs)
    assert (made.cached, again.cached) == (False, True)
    assert made.output == again.output
    shown = console.flyte("get", "run", *PROJECT)
    assert all(run in shown for run in (first, *runs))
    # The code is the bundle's: a pod has nothing of the checkout.
    pod = console.folder / "pods" / first / made.parent / "pod"
    assert (pod / "k2core").is_dir()

    wrong = launch(console, "k2.clean", raw="nobody/ingest")
    assert console.plane.wait(wrong).phase == FAILED
    assert "nobody made nothing that is recorded" in console.plane.runs.action(wrong).error


def test_an_aborted_run_leaves_no_process(console: Console) -> None:
    run = launch(console, "k2.ingest", config=FEW | {"num_knowledge": 21})
    while not console.plane.stages(run) or console.plane.stages(run)["ingest"].phase != RUNNING:
        assert console.plane.runs.action(run).ended is None
    console.flyte("abort", "run", run, *PROJECT)
    assert {action.phase for action in console.plane.runs.of(run)} == {ABORTED}
    folder = str(console.folder / "pods" / run)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place = str((process / "cwd").readlink())
        except OSError:
            continue
        assert not place.startswith(folder)


@pytest.fixture(scope="module")
def pipeline(console: Console) -> str:
    """The whole smoke pipeline, each stage in a process of its own."""
    run = launch(console, "k2.smoke")
    ended = console.plane.wait(run, 2400)
    assert ended.phase == SUCCEEDED, ended.error
    return run


@pytest.fixture
def here(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process looks at what the pods recorded."""
    for name, value in console.variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("here")
def test_the_pipeline_runs_and_its_lineage_is_one_chain(console: Console, pipeline: str) -> None:
    stages = console.plane.stages(pipeline)
    assert set(stages) == set(smoke().stages)
    assert {action.phase for action in stages.values()} == {SUCCEEDED}
    records = records_of(find_pipeline(pipeline))
    assert set(records) == set(smoke().stages)
    assert records["release"].inputs["policy"] == records["rl"].outputs["policy"]
    assert (
        records["tokenize"].inputs["clean"].digest
        == next(iter(records["clean"].outputs.values())).digest
    )


def test_a_second_pipeline_is_answered_from_the_cache(console: Console, pipeline: str) -> None:
    again = launch(console, "k2.smoke")
    assert console.plane.wait(again).phase == SUCCEEDED
    stages = console.plane.stages(again)
    assert [name for name, action in stages.items() if not action.cached] == []
    assert set(stages) == set(console.plane.stages(pipeline)) <= set(STAGES)


def started(printed: str) -> str:
    """The run that `k2 rerun --remote` says it started."""
    (line,) = [line for line in printed.splitlines() if " is started: " in line]
    return line.split()[0]


def test_one_stage_is_rerun_with_a_changed_parameter(console: Console, pipeline: str) -> None:
    ask = ("rerun", "ingest", "--from", pipeline, "--remote")
    run = started(console.k2(*ask, "--set", "ingest.num_knowledge=250"))
    root = console.plane.wait(run)
    assert root.phase == SUCCEEDED, root.error
    assert root.task_id.name == "k2-cpu.ingest"
    assert console.plane.stages(run) == {}
    assert root.run_spec.relation.related_to.name == pipeline
    assert root.run_spec.overwrite_cache


def test_what_follows_a_changed_stage_is_rerun_and_the_rest_recovered(
    console: Console, pipeline: str
) -> None:
    ask = ("rerun", "evaluate", "--from", pipeline, "--remote", "--downstream")
    run = started(console.k2(*ask, "--set", "evaluate.heldout_tokens=300"))
    root = console.plane.wait(run, 1200)
    assert root.phase == SUCCEEDED, root.error
    stages = console.plane.stages(run)
    made = {name for name, action in stages.items() if action.phase != RECOVERED}
    assert made == {"evaluate", "release"}


def test_a_stage_that_never_ran_and_an_absent_backend_are_told(
    console: Console, pipeline: str
) -> None:
    with pytest.raises(AssertionError, match="has no adopt on the cluster; it has ingest"):
        console.k2("rerun", "adopt", "--from", pipeline, "--remote")
    with pytest.raises(AssertionError, match="the settings change nothing that ingest is given"):
        console.k2("rerun", "ingest", "--from", pipeline, "--remote", "--set", "rl.seed=9")


def test_triggers_and_links_are_in_what_was_deployed(console: Console) -> None:
    registry = console.plane.registry
    found = {key: MessageToDict(trigger) for key, trigger in registry.triggers.items()}
    assert {key: trigger["automationSpec"] for key, trigger in found.items()} == {
        ("k2.evaluate_newest", "nightly"): {
            "type": "TYPE_SCHEDULE",
            "schedule": {"cron": {"expression": "0 3 * * *", "timezone": "UTC"}},
        },
        ("k2.clean_and_tokenize", "on_corpus"): {
            "type": "TYPE_ARTIFACT",
            "artifact": {"artifactName": "ingest", "inputArg": "raw"},
        },
        ("k2.evaluate_policy", "on_policy"): {
            "type": "TYPE_ARTIFACT",
            "artifact": {"artifactName": "rl", "inputArg": "made"},
        },
    }
    deployed = [trigger for task in registry.tasks.values() for trigger in task.triggers]
    assert [trigger.spec.active for trigger in deployed] == [True] * len(found)
    for trigger in found.values():
        (rule,) = trigger["spec"]["runSpec"]["notificationRules"]["rules"]
        assert rule["onPhases"] == ["ACTION_PHASE_FAILED", "ACTION_PHASE_TIMED_OUT"]
        told = [to["address"] for to in rule["deliveryTemplate"]["email"]["to"]]
        assert told == ["oncall@example.org", "night@example.org"]
    for stage in STAGES:
        (link,) = registry.spec(TASKS[stage].name).task_template.metadata.log_links
        assert (link.name, link.uri) == ("MLflow", "http://mlflow.example")
    shown = console.flyte("get", "trigger", *PROJECT)
    assert all(name in shown for _, name in found)
    console.flyte("update", "trigger", "nightly", "k2.evaluate_newest", "--deactivate", *PROJECT)
    assert not registry.triggers["k2.evaluate_newest", "nightly"].spec.active


@pytest.mark.usefixtures("here")
def test_a_corpus_that_was_collected_alone_is_cleaned_and_tokenized(
    console: Console, pipeline: str
) -> None:
    console.flyte(*SWITCH, "--activate", *PROJECT)
    known = {run for run, _ in console.plane.runs.actions}
    other = smoke().ingest.model_copy(update={"num_knowledge": 310})
    run = launch(console, "k2.ingest", config=other.model_dump(mode="json"))
    assert console.plane.wait(run).phase == SUCCEEDED
    (fired,) = {run for run, _ in console.plane.runs.actions} - known - {run}
    root = console.plane.wait(fired)
    assert root.phase == SUCCEEDED, root.error
    assert (root.task_id.name, root.trigger) == ("k2.clean_and_tokenize", "on_corpus")
    stages = console.plane.stages(fired)
    assert set(stages) == {"clean", "tokenize"}, pipeline
    # A driver's links lead to the one run, and that run leads back.
    (link,) = stages["clean"].spec.task_template.metadata.log_links
    (seen,) = find_runs(stage="clean", flyte_run=fired)
    action = stages["clean"].id.name
    query = f"tags.`k2.flyte_run` = '{fired}' and tags.`k2.flyte_action` = '{{{{.actionName}}}}'"
    where = f"http://mlflow.example/#/experiments/{seen.info.experiment_id}?searchFilter="
    assert unquote(link.uri) == where + query
    page = console.plane.endpoint.replace("dns:///", "http://")
    assert seen.data.tags["k2.flyte_url"] == (
        f"{page}/v2/domain/development/project/k2/runs/{fired}?i={action}"
    )


def test_the_night_grades_the_newest_release(console: Console, pipeline: str) -> None:
    code = (
        "import flyte, flyte.remote as r; flyte.init_from_config();"
        "print(flyte.run(r.Trigger.get(name='nightly', task_name='k2.evaluate_newest')).name)"
    )
    run = console.run(sys.executable, "-c", code).split()[-1]
    root = console.plane.wait(run)
    assert root.phase == SUCCEEDED, root.error
    assert root.trigger == "nightly"
    assert console.plane.stages(run)["evaluate"].cached, pipeline
