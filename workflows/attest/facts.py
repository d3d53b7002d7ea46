"""What is recorded of a release: its stages, their runs, and what their artifacts say."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TypedDict, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from infra.index import Indexed, RunIndex
from infra.runs import SeenRun
from k2core.store import ArtifactMissingError, ManifestEntry, manifest_of
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from schemas.release import ReleaseConfig
from tasks.store import open_store, published_folder
from workflows.errors import NotRecordedError
from workflows.find import find_artifact

DATA = ("raw_corpus", "clean_corpus", "rephrased_corpus", "token_corpus", "trajectory_set")
"""Kinds of artifacts that models learn from, or that what they learn from is made of."""
_LINEAGE = TypeAdapter(list[LineageRecord])


class SourceAbout(TypedDict, total=False):
    """An entry of a `sources.json`."""

    license: str
    package: str
    version: str
    domain: str
    documents: int
    role: str
    tools: int


class Passed(BaseModel):
    """A pass rate with its interval."""

    rate: float
    low: float
    high: float


class Predicted(BaseModel):
    """How well text is predicted."""

    bits_per_byte: float


class Measured(BaseModel):
    """Of a `scores.json` of this or other code what a bill of materials says."""

    families: dict[str, dict[str, Passed]]
    """Family -> checkpoint -> rate."""
    perplexity: dict[str, dict[str, Predicted]]
    """Domain -> checkpoint -> perplexity."""


@dataclass(frozen=True)
class ReleaseFacts:
    """A release and all that led to it."""

    release: Artifact
    folder: Path
    """Of the release, verified."""
    stages: tuple[Indexed, ...]
    """What made it, in the order of the chain; the release stage is the last."""

    @property
    def maker(self) -> Indexed:
        """The release stage."""
        return self.stages[-1]

    @cached_property
    def files(self) -> list[ManifestEntry]:
        """Of the release."""
        return manifest_of(self.folder)

    @cached_property
    def config(self) -> ReleaseConfig:
        """The release stage's, as far as this code knows it."""
        found = self.maker.record.configs.get("config")
        known = found if isinstance(found, dict) else {}
        fields = ReleaseConfig.model_fields.keys()
        return ReleaseConfig.model_validate({k: v for k, v in known.items() if k in fields})

    @cached_property
    def artifacts(self) -> dict[str, Artifact]:
        """Digest -> what the stages made, in the order of the chain."""
        made = [a for stage in self.stages for a in stage.record.outputs.values()]
        return {artifact.digest: artifact for artifact in made}

    @property
    def models(self) -> list[str]:
        """The release's folders with weights."""
        return sorted(path.parent.name for path in self.folder.glob("*/config.json"))

    def config_of(self, stage: str) -> dict[str, object]:
        """The config of a stage; empty if it had none, or did not run."""
        for made in self.stages:
            config = made.record.configs.get("config")
            if made.record.stage == stage and isinstance(config, dict):
                return cast(dict[str, object], config)
        return {}

    def of_kind(self, kind: str) -> Artifact | None:
        """The last artifact of a kind."""
        return next((a for a in reversed(self.artifacts.values()) if a.kind == kind), None)

    def behind(self, artifact: Artifact) -> list[Artifact]:
        """All that an artifact descends from, in the order of the chain."""
        found: set[str] = set()
        near = [artifact.digest]
        while near:
            digest = near.pop()
            for stage in self.stages:
                if digest in {made.digest for made in stage.record.outputs.values()}:
                    given = {one.digest for one in stage.record.inputs.values()}
                    near += given - found
                    found |= given
        return [one for digest, one in self.artifacts.items() if digest in found]

    def data_of(self, model: str) -> list[Artifact]:
        """The data sets that a folder's weights learned from."""
        weights = self.weights_of(model)
        return [one for one in self.behind(weights) if one.kind in DATA] if weights else []

    def weights_of(self, model: str) -> Artifact | None:
        """The checkpoint that a folder of the release is of, rounded or not."""
        which = model.removesuffix("-bf16")
        found = self.maker.record.inputs.get(which)
        return found if found and found.kind == "checkpoint" else None

    def scores(self) -> Measured | None:
        """What was measured, if the store still holds it."""
        found = self.of_kind("evaluation")
        content = read_file(found, "scores.json") if found else None
        return Measured.model_validate_json(content) if content else None


def gather(target: str) -> ReleaseFacts:
    """What is recorded of a run's release.

    Raises:
        NotRecordedError: nobody recorded who made it, or what its lineage names.
    """
    release = find_artifact(target, ("release",))
    folder = published_folder(release)
    try:
        lineage = _LINEAGE.validate_json((folder / "lineage.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise NotRecordedError(
            f"{folder}/lineage.json is no lineage of this code: {error}"
        ) from None
    with RunIndex() as index:
        maker = index.maker(release.digest)
        if maker is None:
            raise NotRecordedError(f"nobody recorded which stage made release {release.digest}")
        stages = [_find_stage(index, record, maker.run) for record in lineage]
    return ReleaseFacts(release, folder, (*stages, maker))


def _find_stage(index: RunIndex, record: LineageRecord, release: SeenRun) -> Indexed:
    """The run behind a line of a lineage: code of another version may have made the same bytes."""
    digests = {artifact.digest for artifact in record.outputs.values()}
    made = "id in (select run from edges where digest = ? and way = 'output')"
    found = [
        stage
        for stage in index.stages(made, [min(digests, default="")])
        if (stage.record.stage, stage.record.version) == (record.stage, record.version)
        and digests == {artifact.digest for artifact in stage.record.outputs.values()}
    ]
    if not found:
        raise NotRecordedError(
            f"no run of {record.stage} {record.version} is recorded that made it"
        )
    pipeline = release.tags.get("flyte_run")
    # Who worked goes before who answered from the cache, and then this pipeline's own.
    return min(
        found,
        key=lambda stage: ("cached" in stage.run.tags, stage.run.tags.get("flyte_run") != pipeline),
    )


def manifest_in_store(artifact: Artifact) -> list[ManifestEntry]:
    """The files of an artifact; none if the store holds it no more."""
    try:
        return open_store().manifest(artifact)
    except ArtifactMissingError:
        return []


def read_file(artifact: Artifact, name: str) -> bytes | None:
    """A file of an artifact; None if it has none, or the store holds it no more."""
    if name not in {entry.path for entry in manifest_in_store(artifact)}:
        return None
    return open_store().open_file(artifact, name).read_bytes()


def sources_of(artifact: Artifact) -> dict[str, SourceAbout]:
    """What an artifact says that it is of; nothing if it says nothing."""
    content = read_file(artifact, "sources.json")
    return cast(dict[str, SourceAbout], json.loads(content)) if content else {}


def all_sources(artifacts: Iterable[Artifact]) -> dict[str, SourceAbout]:
    """Every source of some artifacts, by name."""
    found: dict[str, SourceAbout] = {}
    for artifact in artifacts:
        found |= sources_of(artifact)
    return dict(sorted(found.items()))


def tables_of(artifact: Artifact) -> Iterator[tuple[str, list[ManifestEntry]]]:
    """Folder -> shards of each table of parquet files, e.g. `kept`."""
    tables: dict[str, list[ManifestEntry]] = {}
    for entry in manifest_in_store(artifact):
        folder, _, name = entry.path.rpartition("/")
        if name.endswith(".parquet") and folder:
            tables.setdefault(folder, []).append(entry)
    yield from sorted(tables.items())


def as_time(milliseconds: int | None) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp((milliseconds or 0) // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
