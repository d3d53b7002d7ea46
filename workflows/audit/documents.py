"""Which checkpoints saw a document, which documents a step read, what forgetting one touches."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
from pydantic import ValidationError

from infra.index import Indexed, RunIndex
from schemas.base import Artifact
from tasks.store import open_store
from workflows.audit.answer import AuditAnswer, short
from workflows.errors import NotRecordedError, inputs_as_asked
from workflows.find import locate
from workflows.forgotten import add_forgotten

if TYPE_CHECKING:
    from k2core.pretrain.phases import Stretch
    from k2core.tokens import TokenStream

_HOLDING = {
    "raw_corpus": ("documents",),
    "clean_corpus": ("kept", "rejects"),
    "rephrased_corpus": ("kept", "rejects"),
    "token_corpus": ("train", "heldout"),
}
"""Kind -> folders whose tables name documents."""


class Holding(NamedTuple):
    """Where an artifact has a document or what was made of it."""

    artifact: Artifact
    doc_id: str
    place: str
    """A folder, or a shard of tokens."""


def saw(doc_id: str) -> AuditAnswer:
    """The checkpoints whose training read a document or a rewrite of it, and how often."""
    rows: list[dict[str, object]] = []
    with RunIndex() as index:
        held = [h for h in find_holdings(index, doc_id) if h.place.startswith("train")]
        for holding in held:
            for stage in _trained_on(index, holding.artifact):
                times = _count_readings(stage, holding)
                if times:
                    rows += _seers(index, stage, holding, times)
    return AuditAnswer(f"{len(rows)} checkpoints saw {doc_id}", rows)


def step(number: int, target: str) -> AuditAnswer:
    """The documents of a pre-training step, in the order in which its rows read them.

    Raises:
        NotRecordedError: no pre-training led to the target, or it has no such step.
    """
    with RunIndex() as index:
        stage = _pretraining(index, locate(index, target, ("checkpoint", "release")))
    seed, stretches = _course(stage)
    stretch = next((s for s in stretches if s.first <= number < s.last), None)
    if stretch is None:
        raise NotRecordedError(f"no step {number}: there are 0 to {stretches[-1].last - 1}")
    stream = _open_stream(stage.record.inputs["tokens"], seed, stretch)
    rows: list[dict[str, object]] = []
    for place, sample in enumerate(stretch.samples(number)):
        domain = stream.domain_of(sample)
        names = stream.document_ids(domain)
        rows += [
            {
                "row": place,
                "document": names[span.row],
                "domain": domain,
                "tokens": f"{span.start} to {span.start + span.length - 1}",
                "epoch": span.epoch,
            }
            for span in stream.trace(sample)
        ]
    run = stage.run.tags["flyte_run"]
    return AuditAnswer(f"step {number} of {run} ({stretch.name}) read {len(rows)} pieces", rows)


def forget(doc_id: str, write: bool) -> AuditAnswer:
    """What descends from a document, and with `write` the exclusion that the next clean honours."""
    with RunIndex() as index:
        held = list(find_holdings(index, doc_id))
        if not held:
            raise NotRecordedError(f"no corpus of this store has a document {doc_id!r}")
        named = dict.fromkeys([doc_id, *(name for h in held for name in _copies(h))])
        first = {holding.artifact.digest: holding.artifact for holding in held}
        touched = dict(first)
        for digest in first:
            touched |= {a.digest: a for a in index.related(digest, forward=True)}
    rows = [
        {
            "kind": artifact.kind,
            "digest": short(artifact.digest),
            "how": "holds it" if artifact.digest in first else "descends from one that does",
            "what": artifact.describe_counts(),
        }
        for artifact in touched.values()
    ]
    said = "add --write to exclude it"
    if write:
        add_forgotten(named)
        said = f"the next clean of this home drops {', '.join(named)} (clean.exclude)"
    return AuditAnswer(f"{len(rows)} artifacts hold or descend from {doc_id}; {said}", rows)


def find_holdings(index: RunIndex, doc_id: str) -> Iterator[Holding]:
    """Every artifact of the store with the document, then those with a rewrite of it."""
    wanted = {doc_id}
    for kind, folders in _HOLDING.items():
        rows = index.rows("select artifact from edges where kind = ? group by digest", [kind])
        for artifact in (Artifact.model_validate_json(row["artifact"]) for row in rows):
            if open_store().has(artifact):
                found = list(_look(artifact, folders, wanted))
                wanted |= {holding.doc_id for holding in found}
                yield from found


def _look(artifact: Artifact, folders: tuple[str, ...], wanted: set[str]) -> Iterator[Holding]:
    root = open_store().open(artifact)
    for folder in folders:
        found: dict[str, set[str]] = {}
        for shard in sorted((root / folder).rglob("*.parquet")):
            table = pl.scan_parquet(shard)
            given = pl.col("doc_id").is_in(list(wanted))
            if artifact.kind == "rephrased_corpus":
                given |= pl.col("parent_id").is_in(list(wanted))
            place = shard.parent.relative_to(root).as_posix()  # of tokens SPLIT/DOMAIN, in parts
            ids = table.filter(given).select("doc_id").unique().collect()["doc_id"]
            found.setdefault(place, set()).update(ids)
        for place, names in found.items():
            yield from (Holding(artifact, name, place) for name in sorted(names))


def _copies(holding: Holding) -> Iterator[str]:
    """The document under its own id, and the duplicates that would be kept in its place."""
    if holding.artifact.kind != "clean_corpus":
        return
    folder = open_store().open(holding.artifact) / "duplicates"
    for shard in sorted(folder.glob("*.parquet")):
        twins = pl.scan_parquet(shard).filter(
            (pl.col("kept_id") == holding.doc_id) | (pl.col("doc_id") == holding.doc_id)
        )
        for row in twins.select("doc_id", "kept_id").collect().iter_rows():
            yield from row


def _trained_on(index: RunIndex, tokens: Artifact) -> list[Indexed]:
    return index.stages(
        "cached = 0 and stage = 'pretrain' and id in "
        "(select run from edges where digest = ? and way = 'input')",
        [tokens.digest],
    )


def _count_readings(stage: Indexed, holding: Holding) -> int:
    """How often a pre-training read the first token of a document."""
    seed, stretches = _course(stage)
    domain, times = holding.place.removeprefix("train/"), 0
    for stretch in stretches:
        stream = _open_stream(holding.artifact, seed, stretch)
        for row in stream.document_ids(domain).rows_of(holding.doc_id):
            found = stream.readings(domain, row, 0)
            times += sum(reading.sample < stretch.num_samples for reading in found)
    return times


def _open_stream(tokens: Artifact, seed: int, stretch: "Stretch") -> "TokenStream":
    from k2core.tokens import TokenStream

    with inputs_as_asked():
        folder = open_store().open(tokens)
        return TokenStream(folder, seed, stretch.sequence_length, stretch.share)


def _course(stage: Indexed) -> "tuple[int, list[Stretch]]":
    """The seed of a pre-training's order, and its stretches.

    Raises:
        NotRecordedError: this code knows no such config.
    """
    from k2core.pretrain.phases import lay_out
    from schemas.model import ModelShape
    from schemas.pretrain import PretrainConfig

    try:
        config = PretrainConfig.model_validate(stage.record.configs["config"])
        shape = ModelShape.model_validate(stage.record.configs["shape"])
    except ValidationError as error:
        raise NotRecordedError(
            f"pretrain of {stage.run.tags['flyte_run']} was configured by other code "
            f"({error.error_count()} fields differ): check out {stage.run.tags['code'][:12]}"
        ) from error
    return config.seed, lay_out(config, shape)


def _seers(
    index: RunIndex, stage: Indexed, holding: Holding, times: int
) -> Iterator[dict[str, object]]:
    """The checkpoint of a pre-training, and all checkpoints and releases that go on from it."""
    for base in stage.record.outputs.values():
        for artifact in [base, *index.related(base.digest, forward=True)]:
            made = index.maker(artifact.digest)
            if artifact.kind in ("checkpoint", "release") and made:
                yield {
                    "kind": artifact.kind,
                    "digest": short(artifact.digest),
                    "made by": made.record.stage,
                    "run": made.run.tags.get("flyte_run", ""),
                    "document": holding.doc_id,
                    "readings": times,
                }


def _pretraining(index: RunIndex, artifact: Artifact) -> Indexed:
    for near in [artifact, *index.related(artifact.digest, forward=False)]:
        made = index.maker(near.digest)
        if made is not None and made.record.stage == "pretrain":
            return made
    raise NotRecordedError(f"no pre-training led to {artifact.kind} {artifact.digest}")
