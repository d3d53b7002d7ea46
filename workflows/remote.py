"""Reruns on a cluster, through Flyte's control plane: its own rerun and its own recover.

Where the control plane is says Flyte's configuration: `.flyte/config.yaml` or the variables
`FLYTE_ADMIN_ENDPOINT`, `FLYTE_ADMIN_INSECURE`, `FLYTE_TASK_PROJECT` and `FLYTE_TASK_DOMAIN`.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import flyte
import flyte.remote
from connectrpc.errors import ConnectError
from flyte.config import Config as FlyteConfig
from pydantic import BaseModel

from infra.home import ROOT
from infra.notices import failure_notice
from schemas.recipe import Recipe
from workflows.errors import MendableError, NotRecordedError
from workflows.find import find_pipeline, recipe_of
from workflows.overrides import change
from workflows.stages import recipe_inputs, task_of


class ControlPlaneError(MendableError):
    """No control plane is configured, or it does not do what was asked."""


class Started(NamedTuple):
    """A run on a cluster."""

    name: str
    url: str
    """Its page in the console."""


def rerun_there(
    stage: str, source: str, settings: Sequence[str], *, downstream: bool = False
) -> Started:
    """Run a stage of an earlier run again on the cluster that ran it, with the code that it had.

    Alone, a new run is rooted at the stage's task, on the very inputs that it had. With what
    follows, the pipeline is recovered: what the settings do not reach keeps its outputs.

    Args:
        stage: its name.
        source: the pipeline's run, as `k2 runs` has it.
        settings: changes of the recipe.
        downstream: whether what depends on the stage is run again, too.
    """
    pipeline = find_pipeline(source)
    recipe = recipe_of(pipeline)
    changed = change(recipe, settings)
    _connect()
    run = pipeline.tags["flyte_run"]
    try:
        action = _find_action(run, stage)
        context = flyte.with_runcontext(
            mode="remote",
            overwrite_cache=not downstream,
            notifications=failure_notice(),  # type: ignore[arg-type]  # a rule by name is right, too
        )
        if downstream:
            again = context.rerun(
                run, recover=True, force_rerun_actions=[action], **_whole(recipe, changed)
            )
        else:
            again = context.rerun(run, action_name=action, **_parts(stage, recipe, changed))
    except ConnectError as error:
        raise ControlPlaneError(f"Flyte's control plane: {error.message}") from error
    return Started(str(again.name), str(again.url))


def _connect() -> None:
    config = FlyteConfig.auto()
    if not config.platform.endpoint or not (config.task.project and config.task.domain):
        raise ControlPlaneError(
            "no Flyte backend is configured: set FLYTE_ADMIN_ENDPOINT, FLYTE_TASK_PROJECT and "
            f"FLYTE_TASK_DOMAIN, or write `admin:` and `task:` into {ROOT / '.flyte/config.yaml'}"
        )
    flyte.init_from_config(config, root_dir=ROOT, log_level=logging.ERROR)  # stdout is ours


def _find_action(run: str, stage: str) -> str:
    """The name of a stage's action in a run."""
    names = {}
    for action in flyte.remote.Action.listall(for_run_name=run):
        environment, _, short = (action.task_name or "").rpartition(".")
        if environment != "k2":
            names[short] = action.name
    if stage not in names:
        raise NotRecordedError(
            f"run {run} has no {stage} on the cluster; it has {', '.join(names) or 'no stages'}"
        )
    return names[stage]


def _parts(stage: str, before: Recipe, after: Recipe) -> Mapping[str, BaseModel]:
    """Of a stage's inputs from the recipe those that changed."""
    task = task_of(stage)
    known = recipe_inputs(task, before)
    parts = {n: value for n, value in recipe_inputs(task, after).items() if value != known[n]}
    if before != after and not parts:
        raise ControlPlaneError(f"the settings change nothing that {stage} is given")
    return parts


def _whole(before: Recipe, after: Recipe) -> Mapping[str, BaseModel]:
    return {"recipe": after} if before != after else {}
