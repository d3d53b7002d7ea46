"""Lineage in MLflow: a parent run a pipeline, a child a stage, artifacts as edges by digest."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache, partial

from mlflow.entities import Metric, Param

from infra.alive import is_dead, own_process
from infra.edges import digests_text, log_inputs_of, log_outputs_of
from infra.home import ROOT, home
from infra.links import flyte_url
from infra.machine import describe_machine, library_versions, lock_digest, user_name
from infra.outbox import Outbox, find_outbox, held_outbox, post_for
from infra.tracking import client, experiment_id, find_runs
from schemas.base import Artifact
from schemas.errors import room_for
from schemas.lineage import LineageRecord
from schemas.recipe import Recipe

SEAL = "kept.json"
_PARAM_LIMIT = 500
_TAG_LIMIT = 5000


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
    tags = {
        "k2.kind": "pipeline",
        "k2.flyte_run": flyte_run,
        "k2.stages": str(num_stages),
        **({"k2.through": through} if through else {}),
        **_environment("workflows/k2.py"),
    }
    with held_outbox(flyte_run) as outbox:
        run = _OpenRun(flyte_run, tags)
        outbox.post(close_killed)
        outbox.post(run.begin)
        outbox.drain()
        kept = KeptFiles(run, outbox.post)
        kept.json("recipe.json", recipe)
        kept.seal()
        outbox.post(partial(run.log_params, flatten(recipe)))
        outbox.settle()
        try:
            yield run.run_id
            outbox.post(partial(run.end, "FINISHED", _now()))
            outbox.close()
        except BaseException:
            with suppress(Exception):
                outbox.settle()
            if not outbox.away:  # else the next closes it, as a killed one
                with suppress(Exception):
                    run.end("FAILED", _now())
            raise


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


def _now() -> int:
    return int(time.time() * 1000)


def _at_once(call: Callable[[], object]) -> None:
    call()


class _OpenRun:
    """A run of MLflow's that is begun when its server answers: only then it has an id."""

    def __init__(self, name: str, tags: Mapping[str, str], began: int = 0) -> None:
        self._name, self._tags, self._began = name, dict(tags), began or _now()
        self.run_id = ""
        """MLflow's, once it is begun."""

    def begin(self) -> None:
        """Create it: of a stage below its pipeline's."""
        parent = self._tags["k2.kind"] == "stage" and pipeline_of(self._tags["k2.flyte_run"])
        tags = self._tags | ({"mlflow.parentRunId": parent} if parent else {})
        run = client().create_run(experiment_id(), self._began, tags, self._name)
        self.run_id = str(run.info.run_id)

    def log_params(self, params: Mapping[str, str]) -> None:
        """What it was asked for."""
        rows = [Param(name, value[:_PARAM_LIMIT]) for name, value in params.items()]
        for start in range(0, len(rows), 100):
            client().log_batch(self.run_id, params=rows[start : start + 100])

    def end(self, status: str, at: int) -> None:
        """It ended at this millisecond."""
        client().set_terminated(self.run_id, status, at)


class KeptFiles:
    """The files that a run keeps, and their digests, so that none can change unnoticed.

    Args:
        run: whose they are.
        post: makes the calls that send them, now or later.
    """

    def __init__(
        self, run: _OpenRun, post: Callable[[Callable[[], object]], None] = _at_once
    ) -> None:
        self._run, self._post = run, post
        self._digests: dict[str, str] = {}

    def json(self, name: str, content: Mapping[str, object]) -> None:
        """Keep a JSON object."""
        self.file(name, json.dumps(content, indent=1).encode())

    def file(self, name: str, data: bytes) -> None:
        """Keep a file by its path, e.g. `plots/loss.png`."""
        self._digests[name] = hashlib.sha256(data).hexdigest()
        self._post(partial(self._send, name, data))

    def _send(self, name: str, data: bytes) -> None:
        folder, _, base = name.rpartition("/")
        place = home() / "tmp" / uuid.uuid4().hex
        place.mkdir(parents=True)
        try:
            with room_for(place / base, len(data)):
                (place / base).write_bytes(data)
                client().log_artifact(self._run.run_id, str(place / base), folder or None)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def seal(self, report: bytes = b"") -> None:
        """List the digests in `kept.json`, and the digest of that in the tag `k2.kept`."""
        files = dict(sorted(self._digests.items()))
        page = {"report": hashlib.sha256(report).hexdigest()} if report else {}
        self.json(SEAL, {"files": files, **page})
        self._post(lambda: client().set_tag(self._run.run_id, "k2.kept", self._digests[SEAL]))


class StageRun:
    """A child run: what one stage was given, said while it ran, and made.

    No server that is away is waited for while there is work: what is to be recorded, the run itself
    first, waits in an outbox. Where this process drives the pipeline that is the pipeline's.
    """

    def __init__(self, record: LineageRecord, key: str, flyte_run: str, flyte_action: str) -> None:
        self.stage, self.flyte_run, self.record = record.stage, flyte_run, record
        tags = {
            "k2.kind": "stage",
            "k2.stage": record.stage,
            "k2.version": record.version,
            "k2.key": key,
            "k2.flyte_run": flyte_run,
            "k2.flyte_action": flyte_action,
            **_environment(f"tasks/{record.stage}.py"),
        }
        if page := flyte_url(flyte_run, flyte_action):
            tags["k2.flyte_url"] = page
        self._run = _OpenRun(record.stage, tags)
        held = find_outbox(flyte_run)
        self._outbox = held or Outbox()
        self._is_last = held is None
        self._kept = KeptFiles(self._run, self._outbox.post)
        self._metrics: list[Metric] = []
        self._flushed = time.monotonic()
        self._outbox.post(partial(self._begin, key))
        self._outbox.post(partial(self._run.log_params, flatten(record.configs)))
        self._outbox.post(lambda: log_inputs_of(self.run_id, record.inputs))
        self._outbox.settle()

    @property
    def run_id(self) -> str:
        """MLflow's; empty while its server is away."""
        return self._run.run_id

    def _begin(self, key: str) -> None:
        close_stale(key)  # also what this very call began, where the answer was lost
        self._run.begin()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record points of curves; written in batches, at most every two seconds."""
        now = int(time.time() * 1000)
        self._metrics += [Metric(name, float(v), now, step) for name, v in values.items()]
        if time.monotonic() - self._flushed > 2 or len(self._metrics) > 900:
            self.flush()

    def flush(self) -> None:
        """Send what is pending; nobody waits for it."""
        for start in range(0, len(self._metrics), 1000):
            self._outbox.post(partial(self._send_points, self._metrics[start : start + 1000]))
        self._metrics = []
        self._flushed = time.monotonic()

    def _send_points(self, points: list[Metric]) -> None:
        client().log_batch(self.run_id, metrics=points)

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
        self._outbox.post(lambda: log_outputs_of(self.run_id, self.record))
        self._kept.json("record.json", self.record.model_dump(mode="json"))
        self._kept.seal(report)
        self._outbox.post(partial(self._run.end, "FINISHED", _now()))
        if self._is_last:
            self._outbox.close()
        else:
            self._outbox.settle()

    def fail(self, error: BaseException) -> None:
        """Close the run with its error, as far as it can be recorded now."""
        with suppress(Exception):
            self.flush()
            self._outbox.settle()
        if self._outbox.away:
            return  # as a killed one it is closed by the next
        said = f"{type(error).__name__}: {error}"[:_TAG_LIMIT]
        client().set_tag(self.run_id, "k2.error", said)
        self._run.end("FAILED", _now())


def record_answer(record: LineageRecord, flyte_run: str) -> None:
    """Record a stage that answered, if it did not record itself: then the cache answered."""
    answered = _now()

    def note() -> None:
        seen = find_runs(kind="stage", stage=record.stage, flyte_run=flyte_run)
        if any(run.info.status == "FINISHED" for run in seen):
            return
        for run in seen:  # this very call began it, and the server went away
            if run.info.status == "RUNNING":
                client().set_terminated(run.info.run_id, "KILLED")
        record_reuse(record, flyte_run, answered)

    post_for(flyte_run, note)


def record_reuse(record: LineageRecord, flyte_run: str, answered: int = 0) -> None:
    """A stage answered from the cache: a child run with the same edges, naming its maker.

    Args:
        record: of the stage.
        flyte_run: that it is of.
        answered: when, in milliseconds since 1970; 0: now.
    """
    answered = answered or _now()
    outputs = digests_text(record.outputs)
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
    run = _OpenRun(f"{record.stage} (cached)", tags, answered)
    run.begin()
    log_inputs_of(run.run_id, record.inputs)
    log_outputs_of(run.run_id, record)
    kept = KeptFiles(run)
    kept.json("record.json", record.model_dump(mode="json"))
    kept.seal()
    run.end("FINISHED", answered)


def flatten(tree: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested configs as `stage.field` -> text, for MLflow's parameter table."""
    flat: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value)
    return flat
