"""Finds what was recorded: runs, artifacts by run or digest, who made them, under which configs."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from infra.index import Indexed, RunIndex
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
    """The artifact of this digest (a prefix is enough), of a run's stage, or a run's release.

    A run that released nothing gives its newest artifact.

    Args:
        target: a digest, a run's name or its beginning, or `latest` for the newest release; with
            `/STAGE` behind the name what this stage made, and with `/OUTPUT` behind that one of
            several: `tiny-1128/pretrain`, `latest/rl/policy`.
        kinds: kinds of artifacts to look at; by default all.
    """
    with RunIndex() as index:
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
    with RunIndex() as index:
        found = _outputs(index, f"way = 'output' and status = 'FINISHED' {_among([kind])}", [])
    if not found:
        raise NotRecordedError(f"no {kind.replace('_', ' ')} is recorded yet: {remedy}")
    return found[0]


def locate(index: RunIndex, target: str, kinds: Sequence[str] = ()) -> Artifact:
    """`find_artifact` in an index that is open."""
    wanted = target if target.startswith("sha256:") else f"sha256:{target}"
    named = f"way = 'output' and status = 'FINISHED' {_among(kinds)}"
    if target == LATEST:
        found = _outputs(index, f"{named} and edges.kind = 'release'", [])
        if not found:
            raise NotRecordedError("nothing is released yet: `k2 run` makes a release")
        return found[0]
    if "/" in target:
        return _of_stage(index, target, kinds)
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


def _of_stage(index: RunIndex, target: str, kinds: Sequence[str]) -> Artifact:
    """What `RUN/STAGE` or `RUN/STAGE/OUTPUT` names; of several runs so called, the newest's."""
    run, _, made = target.partition("/")
    stage, _, output = made.partition("/")
    if not run:
        raise NotRecordedError(
            f"{target!r} is a path: a run's name (`k2 runs`), RUN/STAGE or a digest is wanted"
        )
    if run == LATEST:
        run = _newest(index).tags["flyte_run"]
    exact = index.rows("select 1 from runs where pipeline = ? limit 1", [run])
    called = "pipeline" if exact else "substr(pipeline, 1, length(?1))"
    there = f"status = 'FINISHED' and {called} = ?1"
    rows = index.rows(
        "select run, edges.name, artifact from edges join runs on runs.id = edges.run "
        f"where {there} and way = 'output' {_among(kinds)} and stage = ?2 "
        "and ?3 in ('', edges.name) order by started desc, run, edges.name",
        [run, stage, output],
    )
    found = [row for row in rows if row["run"] == rows[0]["run"]]
    if not found:
        query = f"select distinct stage from runs where {there} and kind = 'stage' order by started"
        made = ", ".join(row["stage"] for row in index.rows(query, [run]))
        raise NotRecordedError(
            f"{target!r} names no finished {' or '.join(kinds) or 'artifact'}; {run} made "
            f"{made or 'nothing that is recorded (`k2 runs`)'}"
        )
    if len(found) > 1:
        names = ", ".join(f"{run}/{stage}/{row['name']}" for row in found)
        raise NotRecordedError(f"{target!r} made several artifacts: say one of {names}")
    return Artifact.model_validate_json(found[0]["artifact"])


def _newest(index: RunIndex) -> SeenRun:
    """The newest pipeline that was to end in a release, of those that ended well if any did."""
    runs = index.runs("kind = 'pipeline'")
    if not runs:
        raise NotRecordedError("no pipeline is recorded yet: `k2 run` starts one")
    runs = [run for run in runs if "through" not in run.tags] or runs
    return next((run for run in runs if run.status == "FINISHED"), runs[0])


def _outputs(index: RunIndex, where: str, values: Sequence[object]) -> list[Artifact]:
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
    with RunIndex() as index:
        for near in [artifact, *index.related(artifact.digest, forward=False)]:
            made = index.maker(near.digest)
            if made is not None and name in made.record.configs:
                return made.record.configs[name]
    raise NotRecordedError(f"no stage behind {artifact.kind} {artifact.digest} has a {name} config")


def find_pipeline(name: str) -> SeenRun:
    """A pipeline's run by Flyte run name (a prefix is enough), or the newest for `latest`."""
    with RunIndex() as index:
        newest = _newest(index)
        if name == LATEST:
            return newest
        runs = index.runs("kind = 'pipeline'")
    hits = [r for r in runs if r.name.startswith(name)]
    if not hits:
        known = ", ".join(r.name for r in runs[:5])
        raise NotRecordedError(f"no pipeline run named {name!r}; the newest are: {known}")
    return next((r for r in hits if r.name == name), hits[0])


def records_behind(artifacts: Sequence[Artifact]) -> list[LineageRecord]:
    """The record of each stage that led to these artifacts, in the order of the chain."""
    from schemas.recipe import STAGES

    with RunIndex() as index:
        behind = [a.digest for a in artifacts]
        behind += [b.digest for a in artifacts for b in index.related(a.digest, forward=False)]
        makers = [index.maker(digest) for digest in dict.fromkeys(behind)]
    records = {made.run.run_id: made.record for made in makers if made is not None}
    return sorted(records.values(), key=lambda record: STAGES.index(record.stage))


def recipe_of(pipeline: SeenRun) -> "Recipe":
    """The recipe that a pipeline ran; what today's code reads otherwise is told on standard error.

    Raises:
        NotRecordedError: it is of other code, and cannot be read by this.
    """
    from workflows.recorded import read_recorded  # brings tables' schemas along

    recipe, changes = read_recorded(read_kept_json(pipeline.run_id, "recipe.json"))
    if changes:
        code = pipeline.tags.get("code", "unknown")[:12]
        print(
            f"  run {pipeline.name} was recorded by other code ({code}), so that its recipe is not "
            "quite what is read:\n    " + "\n    ".join(changes),
            file=sys.stderr,
        )
    return recipe


def stages_of(pipeline: SeenRun) -> dict[str, Indexed]:
    """Stage -> each finished stage of a pipeline, in the order of the chain."""
    from schemas.recipe import STAGES

    with RunIndex() as index:
        found = index.stages("pipeline = ?", [pipeline.tags["flyte_run"]])
    by_name = {stage.record.stage: stage for stage in reversed(found)}
    return {stage: by_name[stage] for stage in STAGES if stage in by_name}


def records_of(pipeline: SeenRun) -> dict[str, LineageRecord]:
    """Stage -> record of each finished stage of a pipeline."""
    return {name: stage.record for name, stage in stages_of(pipeline).items()}
