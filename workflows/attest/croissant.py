"""Croissant (1.0) of each corpus and of the trajectories.

Paths of tables are relative to the root of an artifact store: copied beside its `objects/`,
mlcroissant reads the records themselves. `manifests/` is beside it among the attestations.
"""

import json
from collections.abc import Sequence

import mlcroissant as mlc
import polars as pl
from polars.datatypes import DataTypeClass

from schemas.base import Artifact
from tasks.store import open_store
from workflows.attest.facts import DATA, ReleaseFacts, SourceAbout, sources_of, tables_of

_TYPES: Sequence[tuple[DataTypeClass, str]] = (
    (pl.Boolean, mlc.DataType.BOOL),
    (pl.Int64, mlc.DataType.INTEGER),
    (pl.Float64, mlc.DataType.FLOAT),
)
_WHAT = {
    "raw_corpus": "Documents as they were ingested",
    "clean_corpus": "Documents that the cleaning kept, rejected, and why",
    "rephrased_corpus": "Rewrites of documents, kept and rejected",
    "token_corpus": "Token shards, with the document of each piece",
    "trajectory_set": "Agentic dialogues, accepted and rejected, with their tools and judgements",
}


def write_croissants(facts: ReleaseFacts) -> dict[str, bytes]:
    """Name -> file, one a data set of the chain."""
    made = [artifact for artifact in facts.artifacts.values() if artifact.kind in DATA]
    return {f"{artifact.kind}.croissant.json": _write(facts, artifact) for artifact in made}


def _write(facts: ReleaseFacts, artifact: Artifact) -> bytes:
    digest = artifact.digest.removeprefix("sha256:")
    sources = sources_of(artifact)
    whole = mlc.FileObject(
        id="manifest",
        name="manifest",
        description="Path, size and SHA-256 of every file; its own SHA-256 is the data set's.",
        content_url=f"manifests/{digest}.json",
        encoding_formats=["application/json"],
        sha256=digest,
    )
    metadata = mlc.Metadata(
        name=f"{facts.config.name} {artifact.kind}",
        description=f"{_WHAT[artifact.kind]}: {artifact.describe_counts()}.",
        url=f"urn:{artifact.digest}",
        version=f"1.0.0+{digest[:12]}",
        license=sorted({s["license"] for s in sources.values() if s.get("license")}),
        data_collection="; ".join(_origin(name, about) for name, about in sorted(sources.items())),
        distribution=[whole, *_file_sets(artifact)],
        record_sets=_record_sets(artifact),
    )
    return json.dumps(metadata.to_json(), indent=1, default=str).encode() + b"\n"


def _origin(name: str, about: SourceAbout) -> str:
    version = about.get("version") or "version not recorded"
    return f"{name}: {version}, under {about.get('license', 'an unknown licence')}"


def _file_sets(artifact: Artifact) -> list[mlc.FileSet]:
    place = f"objects/{artifact.digest.removeprefix('sha256:')}"
    return [
        mlc.FileSet(
            id=f"{folder}-files",
            name=f"{folder}-files",
            description=f"{len(shards)} shards, {sum(shard.size for shard in shards):,} bytes",
            includes=[f"{place}/{folder}/*.parquet"],
            encoding_formats=["application/x-parquet"],
        )
        for folder, shards in tables_of(artifact)
    ]


def _record_sets(artifact: Artifact) -> list[mlc.RecordSet]:
    found = []
    for folder, shards in tables_of(artifact):
        schema = pl.read_parquet_schema(open_store().open_file(artifact, shards[0].path))
        fields = [_field(folder, name, dtype) for name, dtype in schema.items()]
        found.append(mlc.RecordSet(id=folder, name=folder, fields=fields))
    return found


def _field(folder: str, name: str, dtype: pl.DataType) -> mlc.Field:
    kind = next((ours for theirs, ours in _TYPES if dtype == theirs), mlc.DataType.TEXT)
    source = mlc.Source(file_set=f"{folder}-files", extract=mlc.Extract(column=name))
    return mlc.Field(id=f"{folder}/{name}", name=name, data_types=[kind], source=source)
