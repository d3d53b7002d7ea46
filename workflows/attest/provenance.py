"""SLSA provenance (v1) of each stage, from its lineage record and its run."""

import json

from infra.index import Indexed
from schemas.base import Artifact
from workflows.attest.envelope import SLSA, Resource, sign_statement
from workflows.attest.facts import ReleaseFacts, as_time
from workflows.attest.keys import SigningKey

BUILD_TYPE = "urn:k2:stage:v1"
"""A stage: `externalParameters` are its configs, `resolvedDependencies` its inputs and its code.

An artifact's digest is the SHA-256 of the compact JSON of `[path, size, SHA-256]` of all its files,
sorted by path; `manifests/DIGEST.json` beside these statements is that JSON.
"""
BUILDER = "urn:k2:builder"
"""Who ran it, unless it is told otherwise."""


def sign_provenance(facts: ReleaseFacts, stage: Indexed, builder: str, key: SigningKey) -> bytes:
    """The envelope of a stage's statement; that of the release has each of its files as subject."""
    subject = [describe(name, artifact) for name, artifact in stage.record.outputs.items()]
    if stage is facts.maker:
        subject += release_files(facts)
    return sign_statement(subject, SLSA, _predicate(stage, builder), key)


def describe(name: str, artifact: Artifact) -> Resource:
    """An artifact as in-toto names things."""
    about: dict[str, object] = {"kind": artifact.kind, "counts": artifact.counts}
    digest = {"sha256": artifact.digest.removeprefix("sha256:")}
    return {"name": name, "digest": digest, "annotations": about}


def release_files(facts: ReleaseFacts) -> list[Resource]:
    """Each file of a release by its path."""
    return [{"name": file.path, "digest": {"sha256": file.sha256}} for file in facts.files]


def _predicate(stage: Indexed, builder: str) -> dict[str, object]:
    record, tags = stage.record, stage.run.tags
    dependencies = [describe(name, artifact) for name, artifact in record.inputs.items()]
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"stage": record.stage, "configs": record.configs},
            "internalParameters": {
                "version": record.version,
                "machine": tags.get("machine", ""),
                "python": tags.get("python", ""),
                "packages": json.loads(tags.get("packages", "{}")),
            },
            "resolvedDependencies": [*dependencies, *_code(tags)],
        },
        "runDetails": {
            "builder": {"id": builder},
            "metadata": {
                "invocationId": f"{tags.get('flyte_run', '')}/{stage.run.run_id}",
                "startedOn": as_time(stage.run.started),
                "finishedOn": as_time(stage.run.ended),
            },
        },
    }


def _code(tags: dict[str, str]) -> list[Resource]:
    """The commit, if it is known, and the locks of all packages."""
    found: list[Resource] = []
    commit, plus, _ = tags.get("code", "").partition("+")
    if commit and commit != "unknown":
        changed: dict[str, object] = {"changed": bool(plus)}
        found.append({"name": "code", "digest": {"gitCommit": commit}, "annotations": changed})
    if lock := tags.get("lock"):
        about: dict[str, object] = {
            "files": "cpu.txt, torch-cpu.txt and gpu.txt, one after another"
        }
        found.append({"name": "infra/locks", "digest": {"sha256": lock}, "annotations": about})
    return found
