"""Edges of the lineage in MLflow: artifacts by digest, as datasets and as models."""

import json
from collections.abc import Mapping

from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    RunTag,
)

from infra.tracking import client, experiment_id
from schemas.base import Artifact
from schemas.lineage import LineageRecord


def log_outputs_of(run_id: str, record: LineageRecord) -> None:
    """Write the output edges, and the digests as tags."""
    for name, artifact in record.outputs.items():
        if artifact.kind == "checkpoint":
            model = model_of(artifact, create_for=run_id, name=f"{record.stage}-{name}")
            client().log_outputs(run_id, [LoggedModelOutput(model, step=0)])
        else:
            client().log_inputs(run_id, datasets=[dataset_of(name, artifact, "output")])
    client().set_tag(run_id, "k2.outputs", digests_text(record.outputs))


def log_inputs_of(run_id: str, inputs: Mapping[str, Artifact]) -> None:
    """Write the input edges, and the digests as tags."""
    for name, artifact in inputs.items():
        if artifact.kind == "checkpoint":
            model = model_of(artifact, create_for=None, name=name)
            client().log_inputs(run_id, models=[LoggedModelInput(model)])
        else:
            client().log_inputs(run_id, datasets=[dataset_of(name, artifact, "input")])
    client().log_batch(run_id, tags=[RunTag("k2.inputs", digests_text(inputs))])


def dataset_of(name: str, artifact: Artifact, context: str) -> DatasetInput:
    """An edge; MLflow keeps 36 characters of a digest, the source keeps all."""
    dataset = Dataset(
        name=artifact.kind,
        digest=artifact.digest.removeprefix("sha256:")[:36],
        source_type="k2-artifact",
        source=artifact.model_dump_json(),
        profile=json.dumps(artifact.counts),
    )
    tags = [InputTag("mlflow.data.context", context), InputTag("k2.name", name)]
    return DatasetInput(dataset, tags=tags)


def model_of(artifact: Artifact, create_for: str | None, name: str) -> str:
    """The logged model with this digest; created if it was never logged in this store."""
    hits = client().search_logged_models([experiment_id()], f"tags.`digest` = '{artifact.digest}'")
    if hits:
        return str(hits[0].model_id)
    model = client().create_logged_model(
        experiment_id(),
        name=name,
        source_run_id=create_for,
        tags={"digest": artifact.digest, "kind": artifact.kind},
        params={k: str(v) for k, v in artifact.counts.items()},
        model_type="checkpoint",
    )
    client().finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def digests_text(artifacts: Mapping[str, Artifact]) -> str:
    """Digests by name, in an order of their own: one text for one set of artifacts."""
    pairs = sorted((name, artifact.digest) for name, artifact in artifacts.items())
    return json.dumps(dict(pairs), separators=(",", ":"))
