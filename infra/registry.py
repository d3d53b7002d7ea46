"""What an auditor finds in MLflow without walking: models with versions, and the whole on top.

At a pipeline's end its parent run gets the data, models and scores of all its stages, and each
model a registered version: linked to its run, with data, scores, parents, config and a description.
"""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from mlflow.entities import LoggedModelOutput, Metric, Run
from mlflow.exceptions import MlflowException

from infra.edges import dataset_of, model_of
from infra.tracking import client, find_runs
from schemas.base import Artifact
from schemas.lineage import LineageRecord

NEWEST, RELEASED = "newest", "released"
"""Aliases: the last that was made; the last that went into a release."""
_ROLES = {"adopt": "base", "pretrain": "base", "sft": "sft", "rl": "policy", "release": "release"}
"""Stage -> what its weights are called."""
_MOST_TEXT = 5000
"""Characters of a description; SQLite takes more, PostgreSQL refuses it."""


class _Model(NamedTuple):
    role: str
    artifact: Artifact
    record: LineageRecord


def register_models(
    parent: str,
    recipe: str,
    records: Sequence[LineageRecord],
    scores: Mapping[str, Mapping[str, float]],
) -> None:
    """Put data, models and scores on a pipeline's parent run, and register its models.

    Args:
        parent: id of the pipeline's run.
        recipe: its name, which the registered models begin with.
        records: of all its stages.
        scores: of each evaluated checkpoint (`base`, `sft`, `policy`), measure -> value.
    """
    data = {a.digest: a for r in records for a in r.outputs.values() if a.kind != "checkpoint"}
    for artifact in data.values():
        client().log_inputs(parent, datasets=[dataset_of(artifact.kind, artifact, "pipeline")])
    models = list(_models(records))
    for model in models:
        whose = "policy" if model.role == "release" else model.role
        found = scores.get(whose, {})
        model_id = model_of(model.artifact, create_for=parent, name=f"{recipe}-{model.role}")
        client().log_outputs(parent, [LoggedModelOutput(model_id, step=0)])
        _log_scores(parent, model_id, model.role, found, _trained_on(model.record))
        _register(parent, recipe, model, model_id, found, records)


def _models(records: Sequence[LineageRecord]) -> list[_Model]:
    found = []
    for record in records:
        weights = [a for a in record.outputs.values() if a.kind in ("checkpoint", "release")]
        if record.stage in _ROLES and weights:
            found.append(_Model(_ROLES[record.stage], weights[0], record))
    return found


def _trained_on(record: LineageRecord) -> Artifact | None:
    return next((a for a in record.inputs.values() if a.kind != "checkpoint"), None)


def _log_scores(
    parent: str, model_id: str, role: str, scores: Mapping[str, float], data: Artifact | None
) -> None:
    """On the model, beside the data that it was trained on; on the parent by the model's role."""
    now = int(time.time() * 1000)
    about = (data.kind, data.digest.removeprefix("sha256:")[:36]) if data else (None, None)
    rows = [
        Metric(f"{role}.{name}", value, now, 0, model_id, *about) for name, value in scores.items()
    ]
    for start in range(0, len(rows), 900):
        client().log_batch(parent, metrics=rows[start : start + 900])


def _register(
    parent: str,
    recipe: str,
    model: _Model,
    model_id: str,
    scores: Mapping[str, float],
    records: Sequence[LineageRecord],
) -> None:
    name = f"{recipe}-{model.role}"
    with suppress(MlflowException):  # it is there
        client().create_registered_model(name, description=f"{model.role} of recipe {recipe}")
    version = _version_of(name, model.artifact.digest)
    if version is None:
        maker = _maker(model.record) or client().get_run(parent)
        code = maker.data.tags["k2.code"]
        made = client().create_model_version(
            name,
            source=f"k2-artifact:/{model.artifact.digest}",  # the store resolves it
            run_id=maker.info.run_id,
            tags={**_tags(model, scores, parent), "code": code},
            description=_describe(model, code, scores, records),
            model_id=model_id,
        )
        version = str(made.version)
    client().set_registered_model_alias(name, NEWEST, version)
    if any(r.stage == "release" for r in records) and model.role != "sft":
        client().set_registered_model_alias(name, RELEASED, version)


def _version_of(name: str, digest: str) -> str | None:
    found = client().search_model_versions(f"name = '{name}'")
    return next((str(v.version) for v in found if v.tags.get("digest") == digest), None)


def _maker(record: LineageRecord) -> Run | None:
    """The run that made it, which is another pipeline's where the cache answered."""
    digests = {name: artifact.digest for name, artifact in record.outputs.items()}
    outputs = json.dumps(dict(sorted(digests.items())), separators=(",", ":"))
    made = find_runs(kind="stage", stage=record.stage, outputs=outputs)
    made = [run for run in made if "k2.cached" not in run.data.tags]
    return made[-1] if made else None


def _tags(model: _Model, scores: Mapping[str, float], parent: str) -> dict[str, str]:
    parents = {name: artifact.digest for name, artifact in model.record.inputs.items()}
    about = {
        "digest": model.artifact.digest,
        "stage": f"{model.record.stage} {model.record.version}",
        "pipeline": parent,
        "parents": json.dumps(parents),
        "config": json.dumps(model.record.configs.get("config", {})),
    }
    about |= {f"score.{name}": f"{value:.4g}" for name, value in list(scores.items())[:40]}
    return {key: value[:4900] for key, value in about.items()}


def _describe(
    model: _Model, code: str, scores: Mapping[str, float], records: Sequence[LineageRecord]
) -> str:
    """A version's page, in Markdown; of the scores as many as there is room for."""
    role, artifact, record = model
    makers = {a.digest: r.stage for r in records for a in r.outputs.values()}
    made_of = [
        f"| {name} | {a.kind} | `{a.digest[7:19]}` | {makers.get(a.digest, '')} "
        f"| {a.describe_counts()} |"
        for name, a in record.inputs.items()
    ]
    lines = [
        f"**{role}**, `{artifact.digest}`: {artifact.describe_counts()}.",
        f"Made by stage {record.stage}, version {record.version}, code {code}.",
        "",
        "| made of | kind | digest | by | what |",
        "|---|---|---|---|---|",
        *made_of,
        *(["", "| score | value |", "|---|---|"] if scores else []),
        *(f"| {name} | {value:.4g} |" for name, value in scores.items()),
    ]
    return _within(lines, "\n\nMore stand among the metrics of the model and of its pipeline.")


def _within(lines: Sequence[str], rest: str) -> str:
    """As many whole lines as MLflow's databases take, and what then is said of the others."""
    whole = "\n".join(lines)
    if len(whole) <= _MOST_TEXT:
        return whole
    return whole[: _MOST_TEXT - len(rest)].rpartition("\n")[0][:_MOST_TEXT] + rest
