"""What an artifact came from, what came of it, and which runs used something."""

import json
from collections.abc import Iterable, Mapping

from infra.index import RunIndex
from infra.runs import SeenRun
from k2core.store import ArtifactCorruptError, ArtifactMissingError
from schemas.base import Artifact
from tasks.store import open_store
from workflows.audit.answer import AuditAnswer, short
from workflows.errors import MendableError
from workflows.find import locate

_WITH_SOURCES = ("raw_corpus", "clean_corpus", "rephrased_corpus", "token_corpus", "trajectory_set")
"""Kinds of artifacts with a `sources.json`."""


def relatives(target: str, *, forward: bool) -> AuditAnswer:
    """All artifacts that an artifact descends from, or that descend from it; nearest first."""
    with RunIndex() as index:
        artifact = locate(index, target)
        found = index.related(artifact.digest, forward=forward)
        rows = [_row(index, near) for near in found]
    what = "descend from" if forward else "led to"
    name = f"{artifact.kind} {short(artifact.digest)}"
    return AuditAnswer(f"{len(rows)} artifacts {what} {name}", rows)


def used(code: str, license: str, package: str, corpus: str) -> AuditAnswer:
    """The runs that used a code version, texts under a licence or of a package, or a corpus.

    Raises:
        MendableError: not exactly one of them is asked for.
    """
    asked = {"code": code, "license": license, "package": package, "corpus": corpus}
    given = {name: value for name, value in asked.items() if value}
    if len(given) != 1:
        raise MendableError("say one of --code, --license, --package, --corpus")
    ((name, value),) = given.items()
    with RunIndex() as index:
        if name == "code":
            found = {run.run_id: run for run in index.runs("code like ? || '%'", [value])}
            why = {run_id: run.tags["code"] for run_id, run in found.items()}
        elif name == "corpus":
            artifact = locate(index, value)
            why = _users(index, {artifact.digest: f"{artifact.kind} {short(artifact.digest)}"})
        else:
            why = _of_package(index, value) if name == "package" else dict[str, str]()
            why |= _users(index, _with_source(index, name, value))
        rows = list(_by_pipeline(index, why))
    return AuditAnswer(f"{len(rows)} pipelines used {name} {value}", rows)


def _users(index: RunIndex, roots: Mapping[str, str]) -> dict[str, str]:
    """Run -> why, of all runs that used these artifacts or what came of them."""
    why: dict[str, str] = {}
    for digest, reason in roots.items():
        near = [digest, *(a.digest for a in index.related(digest, forward=True))]
        rows = index.rows(
            "select distinct run from json_each(?) as near join edges on digest = near.value",
            [json.dumps(near)],
        )
        why |= {row["run"]: reason for row in rows}
    return why


def _with_source(index: RunIndex, column: str, value: str) -> dict[str, str]:
    """Digest -> the source, of artifacts that name a source with this licence or package."""
    read_sources(index)
    pattern = "package || ' ' || version like ? || '%'" if column == "package" else "license = ?"
    rows = index.rows(f"select digest, source from sources where {pattern}", [value])
    return {row["digest"]: f"source {row['source']}" for row in rows}


def _of_package(index: RunIndex, value: str) -> dict[str, str]:
    """Run -> the version, of runs in whose environment a package of this name was."""
    name, _, version = value.partition("==")
    found = {}
    for run in index.runs("tags like '%\"packages\"%'"):
        installed = json.loads(run.tags["packages"]).get(name)
        if installed is not None and installed.startswith(version):
            found[run.run_id] = f"{name}=={installed}"
    return found


def read_sources(index: RunIndex) -> None:
    """Bring the index's table of sources up to date with the artifacts that the store holds."""
    kinds = ", ".join(f"'{kind}'" for kind in _WITH_SOURCES)
    unread = index.rows(
        "select digest, artifact from edges where "
        f"kind in ({kinds}) and digest not in (select digest from sources) group by digest"
    )
    for row in unread:
        artifact = Artifact.model_validate_json(row["artifact"])
        try:
            text = open_store().open_file(artifact, "sources.json").read_text()
        except (FileNotFoundError, ArtifactMissingError, ArtifactCorruptError):
            continue  # of another store, or broken, as `k2 verify` says
        index.add_sources(artifact.digest, json.loads(text))


def _by_pipeline(index: RunIndex, why: Mapping[str, str]) -> Iterable[dict[str, object]]:
    """One row a pipeline: its stages among the runs, and one reason."""
    stages: dict[str, list[SeenRun]] = {}
    for run in index.runs():
        if run.run_id in why:
            stages.setdefault(run.tags.get("flyte_run", ""), []).append(run)
    for name, runs in stages.items():
        named = sorted({run.tags["stage"] for run in runs if "stage" in run.tags})
        yield {"run": name, "stages": ", ".join(named), "by": why[runs[0].run_id]}


def _row(index: RunIndex, artifact: Artifact) -> dict[str, object]:
    made = index.maker(artifact.digest)
    return {
        "kind": artifact.kind,
        "digest": short(artifact.digest),
        "made by": made.record.stage if made else "nobody recorded",
        "version": made.record.version if made else "",
        "run": made.run.tags.get("flyte_run", "") if made else "",
        "what": artifact.describe_counts(),
    }
