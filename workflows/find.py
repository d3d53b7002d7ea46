"""Finds what was recorded: runs, artifacts by run or digest, who made them, under which configs."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mlflow.entities import Run
from pydantic import JsonValue

from infra.lineage import find_runs, read_json, read_record
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from schemas.recipe import STAGES, Recipe
from workflows.errors import NotRecordedError
from workflows.overrides import validated

LATEST = "latest"
"""In place of a run's name: the newest."""
SERVABLE = ("release", "checkpoint")
"""Kinds of artifacts that hold weights."""


class Recorded(NamedTuple):
    """A finished stage."""

    record: LineageRecord
    run: Run


def all_records() -> list[Recorded]:
    """Every finished stage with its record, the cached ones first."""
    runs = [r for r in find_runs(kind="stage") if r.info.status == "FINISHED"]
    runs.sort(key=lambda run: "k2.cached" not in run.data.tags)
    return [Recorded(read_record(run), run) for run in runs]


def makers_of(records: Sequence[Recorded]) -> dict[str, Recorded]:
    """Digest -> the stage that made it; one that answered from the cache is no maker."""
    return {a.digest: made for made in records for a in made.record.outputs.values()}


def find_artifact(target: str, records: Sequence[Recorded], kinds: Sequence[str] = ()) -> Artifact:
    """The artifact of this digest (a prefix is enough), or a run's release.

    A run that released nothing gives its newest artifact.

    Args:
        target: a digest, a run's name or its beginning, or `latest` for the newest release.
        records: `all_records()`.
        kinds: kinds of artifacts to look at; by default all.
    """
    wanted = target if target.startswith("sha256:") else f"sha256:{target}"
    newest = sorted(records, key=lambda made: -made.run.info.start_time)
    found = [
        (artifact, made.run.data.tags["k2.flyte_run"])
        for made in newest
        for artifact in made.record.outputs.values()
        if not kinds or artifact.kind in kinds
    ]
    named = [a for a, _ in found if a.digest.startswith(wanted)]
    of_run = [a for a, run in found if target == LATEST or run.startswith(target)]
    released = [a for a in of_run if a.kind == "release"]
    hits = named or released or ([] if target == LATEST else of_run)
    if hits:
        return hits[0]
    if target == LATEST:
        raise NotRecordedError("nothing is released yet: `k2 run` makes a release")
    raise NotRecordedError(
        f"{target!r} is neither a recorded run (see `k2 runs`) nor the digest of a recorded "
        f"{' or '.join(kinds) or 'artifact'}"
    )


def config_behind(artifact: Artifact, name: str, makers: Mapping[str, Recorded]) -> JsonValue:
    """The nearest config of this name among the stages that led to an artifact."""
    pending = [artifact]
    while pending:
        made = makers.get(pending.pop(0).digest)
        if made is None:
            continue
        if name in made.record.configs:
            return made.record.configs[name]
        pending += made.record.inputs.values()
    raise NotRecordedError(f"no stage behind {artifact.kind} {artifact.digest} has a {name} config")


def find_pipeline(name: str) -> Run:
    """A pipeline's run by Flyte run name (a prefix is enough), or the newest for `latest`."""
    runs = find_runs(kind="pipeline")
    if not runs:
        raise NotRecordedError("no pipeline is recorded yet: `k2 run` starts one")
    hits = [r for r in runs if name == LATEST or (r.info.run_name or "").startswith(name)]
    if not hits:
        known = ", ".join(str(r.info.run_name) for r in runs[:5])
        raise NotRecordedError(f"no pipeline run named {name!r}; the newest are: {known}")
    finished = [r for r in hits if r.info.status == "FINISHED"]
    return (finished or hits)[0] if name == LATEST else hits[0]


def recipe_of(pipeline: Run) -> Recipe:
    """The recipe that a pipeline ran."""
    return validated(read_json(pipeline, "recipe.json"))


def records_of(pipeline: Run) -> dict[str, LineageRecord]:
    """Stage -> record of each finished stage of a pipeline."""
    flyte_run = pipeline.data.tags["k2.flyte_run"]
    found = {
        run.data.tags["k2.stage"]: read_record(run)
        for run in find_runs(kind="stage", flyte_run=flyte_run)
        if run.info.status == "FINISHED"
    }
    return {stage: found[stage] for stage in STAGES if stage in found}
