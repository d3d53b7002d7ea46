"""`k2 diff`: what is different between two runs, or between what led to two artifacts."""

import json
from collections.abc import Iterator, Mapping

from infra.index import Indexed, RunIndex
from k2core.store import ArtifactCorruptError, ArtifactMissingError
from schemas.base import Artifact
from tasks.store import open_store
from workflows.audit.answer import AuditAnswer, short
from workflows.errors import NotRecordedError
from workflows.find import LATEST, find_pipeline, locate

_ENVIRONMENT = ("code", "machine", "user", "lock", "python", "packages")
"""Tags of a run that say of what code, where, by whom and with what it ran."""


def diff(one: str, other: str) -> AuditAnswer:
    """Configs, data, code, environment and scores that are not the same."""
    with RunIndex() as index:
        first, second = _stages(index, one), _stages(index, other)
        rows: list[dict[str, object]] = []
        for stage in dict.fromkeys([*first, *second]):
            one_side, other_side = (_facts(index, side.get(stage)) for side in (first, second))
            rows += _differences(stage, one_side, other_side)
    sides = [_scores(side) for side in (first, second)]
    rows += _differences("evaluate", sides[0], sides[1])
    return AuditAnswer(f"{len(rows)} things differ between {one} and {other}", rows)


def _stages(index: RunIndex, target: str) -> dict[str, Indexed]:
    """Stage -> its run: of a pipeline, or on the way to an artifact."""
    try:
        pipeline = find_pipeline(target)
    except NotRecordedError:
        if target == LATEST:
            raise
        artifact = locate(index, target)
        near = [artifact, *index.related(artifact.digest, forward=False)]
        made = [m for a in near if (m := index.maker(a.digest))]
    else:
        made = index.stages("pipeline = ?", [pipeline.tags["flyte_run"]])
    return {s.record.stage: s for s in sorted(made, key=lambda stage: stage.run.started)}


def _facts(index: RunIndex, stage: Indexed | None) -> dict[str, object]:
    """Everything of a stage that may differ; of one answered from the cache its maker's."""
    if stage is None:
        return {}
    maker = index.runs("id = ?", [stage.run.tags.get("made_by", stage.run.run_id)])
    tags = maker[0].tags if maker else stage.run.tags
    record = stage.record
    facts: dict[str, object] = {"code: version": record.version}
    facts |= {f"environment: {k}": tags[k] for k in _ENVIRONMENT if k in tags and k != "code"}
    facts |= {"code: commit": tags.get("code", "")}
    facts |= {f"config: {name}": value for name, value in flat(record.configs)}
    for way, artifacts in (("input", record.inputs), ("output", record.outputs)):
        facts |= {f"data: {way} {name}": _describe(a) for name, a in artifacts.items()}
    return facts


def _scores(stages: Mapping[str, Indexed]) -> dict[str, object]:
    """Score -> its value with interval, as the evaluation of a run has it."""
    if "evaluate" not in stages:
        return {}
    evaluation = stages["evaluate"].record.outputs["evaluation"]
    try:
        path = open_store().open_file(evaluation, "scores.json")
    except (ArtifactMissingError, ArtifactCorruptError):
        return {"scores": f"not in this store whole: evaluation {short(evaluation.digest)}"}
    leaves = dict(flat(json.loads(path.read_bytes())))
    found: dict[str, object] = {}
    for name, value in leaves.items():
        place, _, measure = name.rpartition(".")
        if measure in ("rate", "perplexity") and isinstance(value, float | int):
            low, high = leaves.get(f"{place}.low"), leaves.get(f"{place}.high")
            within = f" [{low:.3f}, {high:.3f}]" if isinstance(low, float) else ""
            found[f"score: {place}"] = f"{value:.4g}{within}"
    return found


def _differences(
    stage: str, one: Mapping[str, object], other: Mapping[str, object]
) -> Iterator[dict[str, object]]:
    for name in dict.fromkeys([*one, *other]):
        if one.get(name) != other.get(name):
            first, second = one.get(name, "-"), other.get(name, "-")
            yield {"stage": stage, "what": name, "one": first, "other": second}


def flat(tree: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested configs as dotted names with their values."""
    if isinstance(tree, Mapping) and tree:
        for name, value in tree.items():
            yield from flat(value, f"{prefix}.{name}" if prefix else str(name))
    elif prefix != "lineage":  # of a release: the records of the other stages
        yield prefix, tree


def _describe(artifact: Artifact) -> str:
    return f"{artifact.kind} {short(artifact.digest)} ({artifact.describe_counts()})"
