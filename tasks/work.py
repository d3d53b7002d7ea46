"""Which work a stage's inputs ask for, and what came of it."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence

from pydantic import BaseModel

from infra.versions import identity_of
from schemas.base import Artifact
from schemas.lineage import LineageRecord


def record_of(stage: str, version: str, inputs: Mapping[str, object]) -> LineageRecord:
    """The record of a stage that has not run yet; `placement` is no part of what it is."""
    configs: dict[str, object] = {}
    artifacts: dict[str, Artifact] = {}
    for name, value in inputs.items():
        if isinstance(value, Artifact):
            artifacts[name] = value
        elif name != "placement":
            configs[name] = _as_json(value)
    return LineageRecord.model_validate(
        {
            "stage": stage,
            "version": identity_of(stage, version),
            "configs": configs,
            "inputs": artifacts,
        }
    )


def work_key(record: LineageRecord, extent: Collection[str] = ()) -> str:
    """Names the work: the same stage, version, configs and inputs find the same workspace.

    Args:
        record: of the work.
        extent: fields of its config that are left out: the name of all works that differ in them.
    """
    identity = record.model_dump(mode="json", exclude={"outputs"})
    for field in extent:
        del identity["configs"]["config"][field]
    for artifact in identity["inputs"].values():
        del artifact["counts"]
    text = json.dumps(identity, sort_keys=True)
    return f"{record.stage}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def outputs_of(result: object) -> dict[str, Artifact]:
    """A task's result as named artifacts: one by its kind, several by their field names."""
    if isinstance(result, Artifact):
        return {result.kind: result}
    if isinstance(result, BaseModel):
        return {name: a for name, a in result if isinstance(a, Artifact)}
    raise TypeError(f"a stage returns artifacts, not {type(result).__name__}")


def _as_json(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_as_json(item) for item in value]
    return value
