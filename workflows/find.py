"""Finds what was recorded: runs, artifacts by run or digest, who made them, under which configs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from infra.index import Index, Indexed
from infra.kept import read_kept_json
from infra.runs import SeenRun
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from workflows.errors import NotRecordedError

if TYPE_CHECKING:
    from schemas.recipe import Recipe

LATEST = "latest"
"""In place of a run's name: the newest."""
SERVABLE = ("release", "checkpoint")
"""Kinds of artifacts that hold weights."""


def find_artifact(target: str, kinds: Sequence[str] = ()) -> Artifact:
    """The artifact of this digest (a prefix is enough), or a run's release.

    A run that released nothing gives its newest artifact.

    Args:
        target: a digest, a run's name or its beginning, or `latest` for the newest release.
        kinds: kinds of artifacts to look at; by default all.
    """
    with Index() as index:
        return locate(index, target, kinds)


def find_kind(target: str, kind: str, remedy: str) -> Artifact:
    """`find_artifact` of one kind, whose newest is `latest`.

    Args:
        target: a digest, a run's name or its beginning, or `latest`.
        kind: of the artifact.
        remedy: what to do where there is none.
    """
    if target != LATEST:
        return find_artifact(target, (kind,))
    with Index() as index:
        found = _outputs(index, f"way = 'output' and status = 'FINISHED' {_among([kind])}", [])
    if not found:
        raise NotRecordedError(f"no {kind.replace('_', ' ')} is recorded yet: {remedy}")
    return found[0]


def locate(index: Index, target: str, kinds: Sequence[str] = ()) -> Artifact:
    """`find_artifact` in an index that is open."""
    wanted = target if target.startswith("sha256:") else f"sha256:{target}"
    named = f"way = 'output' and status = 'FINISHED' {_among(kinds)}"
    if target == LATEST:
        found = _outputs(index, f"{named} and edges.kind = 'release'", [])
        if not found:
            raise NotRecordedError("nothing is released yet: `k2 run` makes a release")
        return found[0]
    found = _outputs(index, f"{named} and digest >= ? and digest < ?", [wanted, wanted + "~"])
    found = found or sorted(
        _outputs(index, f"{named} and substr(pipeline, 1, ?) = ?", [len(target), target]),
        key=lambda artifact: artifact.kind != "release",
    )
    if found:
        return found[0]
    raise NotRecordedError(
        f"{target!r} is neither a recorded run (see `k2 runs`) nor the digest of a recorded "
        f"{' or '.join(kinds) or 'artifact'}"
    )


def _outputs(index: Index, where: str, values: Sequence[object]) -> list[Artifact]:
    rows = index.rows(
        "select artifact from edges join runs on runs.id = edges.run "
        f"where {where} order by started desc, edges.name",
        values,
    )
    return [Artifact.model_validate_json(row["artifact"]) for row in rows]


def _among(kinds: Sequence[str]) -> str:
    return f"and edges.kind in ({', '.join(repr(kind) for kind in kinds)})" if kinds else ""


def config_behind(artifact: Artifact, name: str) -> JsonValue:
    """The nearest config of this name among the stages that led to an artifact."""
    with Index() as index:
        for near in [artifact, *index.related(artifact.digest, forward=False)]:
            made = index.maker(near.digest)
            if made is not None and name in made.record.configs:
                return made.record.configs[name]
    raise NotRecordedError(f"no stage behind {artifact.kind} {artifact.digest} has a {name} config")


def find_pipeline(name: str) -> SeenRun:
    """A pipeline's run by Flyte run name (a prefix is enough), or the newest for `latest`."""
    with Index() as index:
        runs = index.runs("kind = 'pipeline'")
    if not runs:
        raise NotRecordedError("no pipeline is recorded yet: `k2 run` starts one")
    hits = [r for r in runs if name == LATEST or r.name.startswith(name)]
    if not hits:
        known = ", ".join(r.name for r in runs[:5])
        raise NotRecordedError(f"no pipeline run named {name!r}; the newest are: {known}")
    finished = [r for r in hits if r.status == "FINISHED"]
    exact = [r for r in hits if r.name == name]
    return (exact or finished or hits)[0] if name == LATEST else (exact or hits)[0]


def recipe_of(pipeline: SeenRun) -> "Recipe":
    """The recipe that a pipeline ran."""
    from workflows.overrides import validated  # brings tables' schemas along

    return validated(read_kept_json(pipeline.run_id, "recipe.json"))


def stages_of(pipeline: SeenRun) -> dict[str, Indexed]:
    """Stage -> each finished stage of a pipeline, in the order of the chain."""
    from schemas.recipe import STAGES

    with Index() as index:
        found = index.stages("pipeline = ?", [pipeline.tags["flyte_run"]])
    by_name = {stage.record.stage: stage for stage in reversed(found)}
    return {stage: by_name[stage] for stage in STAGES if stage in by_name}


def records_of(pipeline: SeenRun) -> dict[str, LineageRecord]:
    """Stage -> record of each finished stage of a pipeline."""
    return {name: stage.record for name, stage in stages_of(pipeline).items()}
