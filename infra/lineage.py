"""Lineage in MLflow: a parent run a pipeline, a child a stage, artifacts as edges by digest."""

import hashlib
import json
import logging
import os
import platform
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from infra.alive import is_dead, own_process
from infra.home import ROOT, home, tracking_uri
from infra.links import flyte_url
from infra.machine import describe_machine, library_versions, lock_digest, user_name
from infra.moved import artifacts_uri, prepare_home
from infra.runs import EXPERIMENT
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from schemas.recipe import Recipe

# Reading a run's own JSON file is no download to watch, and making the tables no news.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
logging.getLogger("mlflow").setLevel(logging.WARNING)

SEAL = "kept.json"
_PARAM_LIMIT = 500
_TAG_LIMIT = 5000


@lru_cache(maxsize=4)
def _client(uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=uri)


def client() -> MlflowClient:
    """The tracking client for `MLFLOW_TRACKING_URI`, by default SQLite in the home."""
    if "MLFLOW_TRACKING_URI" not in os.environ:
        prepare_home()
    return _client(tracking_uri())


def experiment_id() -> str:
    """The experiment that holds all runs, created on first use."""
    found = client().get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    place = None if "MLFLOW_TRACKING_URI" in os.environ else artifacts_uri()
    try:
        return client().create_experiment(EXPERIMENT, artifact_location=place)
    except MlflowException:  # somebody else was faster
        found = client().get_experiment_by_name(EXPERIMENT)
        if found is None:
            raise
        return str(found.experiment_id)


@lru_cache(maxsize=1)
def code_version() -> str:
    """The commit, `+changed` if the tree differs from it, or `K2_CODE_VERSION` in an image."""
    if "K2_CODE_VERSION" in os.environ:
        return os.environ["K2_CODE_VERSION"]
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode != 0:
        return "unknown"
    status = [*git, "status", "--porcelain"]
    changed = subprocess.run(status, capture_output=True, text=True, check=False).stdout.strip()
    return head.stdout.strip() + ("+changed" if changed else "")


def find_runs(status: str = "", **tags: str) -> list[Run]:
    """All runs whose `k2.` tags have these values, the newest first."""
    asked = [f"tags.`k2.{name}` = '{value}'" for name, value in tags.items()]
    query = " and ".join(asked + ([f"attributes.status = '{status}'"] if status else []))
    runs: list[Run] = []
    token = None
    while True:
        page = client().search_runs(
            [experiment_id()],
            query,
            max_results=1000,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        runs += page
        token = page.token
        if not token:
            return runs


@contextmanager
def pipeline_run(
    flyte_run: str,
    recipe: Mapping[str, object],
    num_stages: int = len(Recipe().stages),
    through: str = "",
) -> Iterator[str]:
    """Hold the parent run of a pipeline of so many stages open; yields its id.

    Args:
        flyte_run: its name.
        recipe: what it does.
        num_stages: of it.
        through: the last stage, if that is none that releases.
    """
    close_killed()
    tags = {
        "k2.kind": "pipeline",
        "k2.flyte_run": flyte_run,
        "k2.stages": str(num_stages),
        **({"k2.through": through} if through else {}),
        **_environment("workflows/k2.py"),
    }
    run_id = str(client().create_run(experiment_id(), tags=tags, run_name=flyte_run).info.run_id)
    kept = Kept(run_id)
    kept.json("recipe.json", recipe)
    kept.seal()
    _log_params(run_id, flatten(recipe))
    try:
        yield run_id
    except BaseException:
        client().set_terminated(run_id, "FAILED")
        raise
    client().set_terminated(run_id, "FINISHED")


def pipeline_of(flyte_run: str) -> str | None:
    """The parent run's id of a Flyte run, if it is a pipeline's."""
    runs = find_runs(kind="pipeline", flyte_run=flyte_run)
    return str(runs[0].info.run_id) if runs else None


def close_killed() -> None:
    """Mark runs as killed whose process was on this machine and lives no more."""
    for kind in ("pipeline", "stage"):
        for run in find_runs(kind=kind, status="RUNNING"):
            if is_dead(run.data.tags.get("k2.process", "")):
                client().set_terminated(run.info.run_id, "KILLED")


def _environment(source: str) -> dict[str, str]:
    """Tags: of what code, by whom, where and with what a run works."""
    commit = code_version()
    return {
        "k2.code": commit,
        "k2.machine": describe_machine(),
        "k2.process": own_process(),
        "k2.user": user_name(),
        "k2.lock": lock_digest(),
        "k2.python": platform.python_version(),
        "k2.packages": json.dumps(library_versions()),
        "mlflow.user": user_name(),
        "mlflow.source.name": source,
        "mlflow.source.type": "PROJECT",
        "mlflow.source.git.commit": commit.removesuffix("+changed"),
    }


def close_stale(key: str) -> None:
    """Mark earlier runs of this very work that were killed, so that none looks alive forever."""
    for run in find_runs(kind="stage", key=key):
        if run.info.status == "RUNNING":
            client().set_terminated(run.info.run_id, "KILLED")


class Kept:
    """The files that a run keeps, and their digests, so that none can change unnoticed."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._digests: dict[str, str] = {}

    def json(self, name: str, content: Mapping[str, object]) -> None:
        """Keep a JSON object."""
        self.file(name, json.dumps(content, indent=1).encode())

    def file(self, name: str, data: bytes) -> None:
        """Keep a file by its path, e.g. `plots/loss.png`."""
        folder, _, base = name.rpartition("/")
        place = home() / "tmp" / uuid.uuid4().hex
        place.mkdir(parents=True)
        try:
            (place / base).write_bytes(data)
            client().log_artifact(self._run_id, str(place / base), folder or None)
        finally:
            shutil.rmtree(place)
        self._digests[name] = hashlib.sha256(data).hexdigest()

    def seal(self, report: bytes = b"") -> None:
        """List the digests in `kept.json`, and the digest of that in the tag `k2.kept`."""
        files = dict(sorted(self._digests.items()))
        page = {"report": hashlib.sha256(report).hexdigest()} if report else {}
        self.json(SEAL, {"files": files, **page})
        client().set_tag(self._run_id, "k2.kept", self._digests[SEAL])


class StageRun:
    """A child run: what one stage was given, said while it ran, and made."""

    def __init__(self, record: LineageRecord, key: str, flyte_run: str, flyte_action: str) -> None:
        parent = pipeline_of(flyte_run)
        tags = {
            "k2.kind": "stage",
            "k2.stage": record.stage,
            "k2.version": record.version,
            "k2.key": key,
            "k2.flyte_run": flyte_run,
            "k2.flyte_action": flyte_action,
            **_environment(f"tasks/{record.stage}.py"),
        }
        if parent is not None:
            tags["mlflow.parentRunId"] = parent
        if page := flyte_url(flyte_run, flyte_action):
            tags["k2.flyte_url"] = page
        run = client().create_run(experiment_id(), tags=tags, run_name=record.stage)
        self.run_id = str(run.info.run_id)
        self.stage = record.stage
        self.flyte_run = flyte_run
        self.record = record
        self._kept = Kept(self.run_id)
        self._metrics: list[Metric] = []
        self._flushed = time.monotonic()
        _log_params(self.run_id, flatten(record.configs))
        _log_inputs(self.run_id, record.inputs)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record points of curves; written in batches, at most every two seconds."""
        now = int(time.time() * 1000)
        self._metrics += [Metric(name, float(v), now, step) for name, v in values.items()]
        if time.monotonic() - self._flushed > 2 or len(self._metrics) > 900:
            try:
                self.flush()
            except MlflowException:  # a server that is away: the points wait for the next time
                self._flushed = time.monotonic()

    def flush(self) -> None:
        """Write what is pending."""
        while self._metrics:
            client().log_batch(self.run_id, metrics=self._metrics[:1000])
            self._metrics = self._metrics[1000:]
        self._flushed = time.monotonic()

    def json(self, name: str, content: Mapping[str, object]) -> None:
        """Keep a JSON object with the run; `read_kept_json` reads it."""
        self._kept.json(name, content)

    def file(self, name: str, data: bytes) -> None:
        """Keep a small file with the run, e.g. a plot."""
        self._kept.file(f"plots/{name}", data)

    def finish(self, outputs: Mapping[str, Artifact], report: bytes = b"") -> None:
        """Record what was made and close the run.

        Args:
            outputs: name -> artifact.
            report: its page, of which the digest is kept.
        """
        self.flush()
        self.record = self.record.model_copy(update={"outputs": dict(outputs)})
        log_outputs(self.run_id, self.record, self._kept)
        self._kept.seal(report)
        client().set_terminated(self.run_id, "FINISHED")

    def fail(self, error: BaseException) -> None:
        """Close the run with its error."""
        self.flush()
        client().set_tag(self.run_id, "k2.error", f"{type(error).__name__}: {error}"[:_TAG_LIMIT])
        client().set_terminated(self.run_id, "FAILED")


def record_reuse(record: LineageRecord, flyte_run: str) -> None:
    """A stage answered from the cache: a child run with the same edges, naming its maker."""
    outputs = _digests(record.outputs)
    made = find_runs(kind="stage", stage=record.stage, outputs=outputs)
    tags = {
        "k2.kind": "stage",
        "k2.stage": record.stage,
        "k2.version": record.version,
        "k2.flyte_run": flyte_run,
        "k2.cached": "true",
        **_environment(f"tasks/{record.stage}.py"),
    }
    origin = [r for r in made if "k2.cached" not in r.data.tags]
    if origin:
        tags["k2.made_by"] = origin[-1].info.run_id
        tags["k2.flyte_action"] = origin[-1].data.tags.get("k2.flyte_action", "")
    parent = pipeline_of(flyte_run)
    if parent is not None:
        tags["mlflow.parentRunId"] = parent
    run = client().create_run(experiment_id(), tags=tags, run_name=f"{record.stage} (cached)")
    run_id = str(run.info.run_id)
    _log_inputs(run_id, record.inputs)
    kept = Kept(run_id)
    log_outputs(run_id, record, kept)
    kept.seal()
    client().set_terminated(run_id, "FINISHED")


def log_outputs(run_id: str, record: LineageRecord, kept: "Kept") -> None:
    """Write the output edges, the digests as tags, and the whole record."""
    for name, artifact in record.outputs.items():
        if artifact.kind == "checkpoint":
            model = model_of(artifact, create_for=run_id, name=f"{record.stage}-{name}")
            client().log_outputs(run_id, [LoggedModelOutput(model, step=0)])
        else:
            client().log_inputs(run_id, datasets=[dataset_of(name, artifact, "output")])
    client().set_tag(run_id, "k2.outputs", _digests(record.outputs))
    kept.json("record.json", record.model_dump(mode="json"))


def flatten(tree: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested configs as `stage.field` -> text, for MLflow's parameter table."""
    flat: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value)
    return flat


def _log_params(run_id: str, params: Mapping[str, str]) -> None:
    rows = [Param(name, value[:_PARAM_LIMIT]) for name, value in params.items()]
    for start in range(0, len(rows), 100):
        client().log_batch(run_id, params=rows[start : start + 100])


def _log_inputs(run_id: str, inputs: Mapping[str, Artifact]) -> None:
    for name, artifact in inputs.items():
        if artifact.kind == "checkpoint":
            model = model_of(artifact, create_for=None, name=name)
            client().log_inputs(run_id, models=[LoggedModelInput(model)])
        else:
            client().log_inputs(run_id, datasets=[dataset_of(name, artifact, "input")])
    client().log_batch(run_id, tags=[RunTag("k2.inputs", _digests(inputs))])


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


def _digests(artifacts: Mapping[str, Artifact]) -> str:
    pairs = sorted((name, artifact.digest) for name, artifact in artifacts.items())
    return json.dumps(dict(pairs), separators=(",", ":"))
