"""A document's way through a run: what each stage did with it, and why."""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from k2core.rephrase.explain import describe_scores, explain_absence, replay_chunks
from k2core.tokenize.trace import Order, TokenPlace, read_orders
from k2core.tokens import TokenStream
from schemas.corpus import DecisionRow, DocumentRow
from schemas.model import ModelShape
from schemas.pretrain import PretrainConfig
from schemas.rephrase import RephraseConfig
from tasks.store import open_store
from workflows.errors import NotRecordedError, inputs_as_asked
from workflows.provenance import (
    Corpora,
    KeptOrNot,
    read_decision,
    read_document,
    read_evidence,
    read_rewrites,
)

_SHOWN = 6


class StageSection(NamedTuple):
    """What one stage has to say."""

    stage: str
    lines: list[str]


def tell_document(corpora: Corpora, doc_id: str) -> list[StageSection]:
    """Stage by stage, from where a document was collected to the samples that read it."""
    clean = corpora.folder("clean_corpus")
    decision = read_decision(clean, doc_id)
    if decision is None:
        return _tell_rewrite(corpora, doc_id)
    document = read_document(clean, decision)
    sections = [_collected(corpora, document), _cleaned(corpora, decision)]
    if decision["decision"] == "dropped":
        return sections
    rewrites: list[KeptOrNot] = []
    if corpora.has("rephrased_corpus"):
        rewrites = read_rewrites(corpora.folder("rephrased_corpus"), "parent_id", doc_id)
        sections.append(StageSection("rephrase", _rephrased(corpora, document, rewrites)))
    kept: list[DocumentRow] = [document, *(row for row in rewrites if not row["reason"])]
    return sections + _tokenized(corpora, kept)


def read_text(corpora: Corpora, doc_id: str) -> str:
    """The text of a document or of a rewrite, as it was to be tokenized."""
    clean = corpora.folder("clean_corpus")
    decision = read_decision(clean, doc_id)
    found = _read_rewrite(corpora, doc_id) if decision is None else read_document(clean, decision)
    return str(found["text"])


def orders_of(corpora: Corpora) -> dict[str, Order]:
    """The orders of a run's token shards, as the manifest has them.

    Raises:
        NotRecordedError: other code made the tokens.
    """
    with inputs_as_asked():
        return read_orders(corpora.folder("token_corpus"))


def list_readings(corpora: Corpora, place: TokenPlace, at: int) -> Iterator[str]:
    """In which samples a document's token is read, if the run trained on these tokens."""
    from k2core.pretrain.phases import lay_out  # brings torch along

    made, tokens = corpora.stages.get("pretrain"), corpora.artifacts["token_corpus"]
    if made is None or tokens not in made.record.inputs.values():
        return
    config = corpora.read_config(made.record, "config", PretrainConfig)
    shape = corpora.read_config(made.record, "shape", ModelShape)
    folder, domain = corpora.folder("token_corpus"), place.shard.removeprefix("train/")
    read = []
    for stretch in lay_out(config, shape):
        stream = TokenStream(folder, config.seed, stretch.sequence_length, stretch.share)
        for found in sorted(stream.readings(domain, place.row, at)):
            if found.sample < stretch.num_samples:
                step, row = divmod(found.sample, stretch.batch_size)
                read.append(f"step {stretch.first + step} row {row} column {found.column}")
    if not read:
        yield f"its token {at} is in no sample that was read"
        return
    more = f"; and {len(read) - _SHOWN} more" if len(read) > _SHOWN else ""
    yield f"its token {at} is read {len(read)} times: {'; '.join(read[:_SHOWN])}{more}"


def _tell_rewrite(corpora: Corpora, doc_id: str) -> list[StageSection]:
    rewrite = _read_rewrite(corpora, doc_id)
    clean = corpora.folder("clean_corpus")
    decision = read_decision(clean, rewrite["parent_id"])
    if decision is None:
        raise NotRecordedError(
            f"rewrite {doc_id} names a parent {rewrite['parent_id']}, which the clean corpus of "
            f"run {corpora.run} lacks: rerun rephrase"
        )
    parent = read_document(clean, decision)
    lines = [f"a rewrite of {parent['doc_id']}", *_rephrased(corpora, parent, [rewrite])]
    sections = [
        StageSection("rephrase", lines),
        _collected(corpora, parent),
        _cleaned(corpora, decision),
    ]
    return sections + ([] if rewrite["reason"] else _tokenized(corpora, [rewrite]))


def _read_rewrite(corpora: Corpora, doc_id: str) -> KeptOrNot:
    rows = read_rewrites(corpora.folder("rephrased_corpus"), "doc_id", doc_id)
    if not rows:
        raise NotRecordedError(
            f"{doc_id} is neither a document nor a rewrite of run {corpora.run}: its tokens were "
            "made from other corpora"
        )
    return rows[0]


def _collected(corpora: Corpora, document: DocumentRow) -> StageSection:
    sources = json.loads((corpora.folder("clean_corpus") / "sources.json").read_text())
    about = sources.get(document["source"], {})
    known = about.get("version", "unknown") != "unknown"  # files have no version
    package = f" ({about['package']} {about['version']})" if known else ""
    lines = [
        f"{document['path']} of {document['source']}{package}",
        f"domain {document['domain']}, licence {document['license']}",
    ]
    return StageSection("ingest", lines)


def _cleaned(corpora: Corpora, decision: DecisionRow) -> StageSection:
    rule = (
        f"{decision['rule']} version {decision['rule_version']}: {decision['reason']}, measured "
        f"{decision['measured']:g}, threshold {decision['threshold']:g}"
    )
    if decision["decision"] == "dropped":
        verdict = f"dropped by {rule}"
    else:
        verdict = f"kept; it came nearest to {rule}" if decision["rule"] else "kept"
    clean, doc_id = corpora.folder("clean_corpus"), decision["doc_id"]
    lines = [
        verdict,
        *(f"it repeats {row['kept_id']}" for row in read_evidence(clean, "duplicates", doc_id)),
        *(
            f"it holds {row['covered_frac']:.0%} of held-out problem {row['problem_id']}: "
            f"{row['ngram']!r}"
            for row in read_evidence(clean, "overlaps", doc_id)
        ),
        f"lies in {decision['shard']}, row {decision['row']}, of clean_corpus "
        f"{corpora.artifacts['clean_corpus'].digest[7:19]}, made by clean version "
        f"{corpora.maker_of('clean_corpus').version}",
    ]
    if measures := json.loads(decision["measures"] or "{}"):
        lines.append("measured " + ", ".join(f"{k} {v:g}" for k, v in measures.items()))
    redacted = {k: v for k, v in json.loads(decision["redactions"] or "{}").items() if v}
    if redacted:
        lines.append("redacted " + ", ".join(f"{k} {v}" for k, v in redacted.items()))
    return StageSection("clean", lines)


def _rephrased(corpora: Corpora, document: DocumentRow, rewrites: Sequence[KeptOrNot]) -> list[str]:
    config = corpora.config_of("rephrased_corpus", RephraseConfig)
    if not rewrites:
        kept = corpora.folder("clean_corpus") / "kept"
        why = explain_absence(
            config, kept, document["doc_id"], document["domain"], document["text"]
        )
        return [f"not rewritten: {why}"]
    chunks = replay_chunks(config, open_store().disk / "models", document["text"])
    num = "its chunks (whose number its tokenizer knows, which is not here)"
    if chunks is not None:
        num = "one chunk" if len(chunks) == 1 else f"{len(chunks)} chunks"
    lines = [f"by {config.rewriter}, in {num} of at most {config.chunk_tokens} tokens"]
    for row in rewrites:
        verdict = f"rejected: {row['reason']}" if row["reason"] else "kept"
        by = "" if row["writer"] == "model" else f" by {row['writer']}"
        lines.append(f"{row['doc_id']} in style {row['prompt_id']}{by}: {verdict}")
        lines.append("  " + "; ".join(describe_scores(config, json.loads(row["scores"]))))
    return lines


def _tokenized(corpora: Corpora, rows: Sequence[DocumentRow]) -> list[StageSection]:
    """Where a document and its kept rewrites lie, and the samples that read their first tokens."""
    if not corpora.has("token_corpus"):
        return []
    try:
        orders = orders_of(corpora)
    except NotRecordedError as error:  # what came before is known all the same
        return [StageSection("tokenize", [str(error)])]
    lines, read = [], []
    for row in rows:
        places = [place for order in orders.values() for place in order.places(row["doc_id"])]
        name = row["doc_id"] + (" (rewrite)" if "parent_id" in row else "")
        lines += [f"{name}: {place.describe()}" for place in places]
        lines += [] if places else [f"{name}: in no shard; {_left_out(orders, row)}"]
        for place in (place for place in places if place.shard.startswith("train/")):
            read += [f"{name}: {line}" for line in list_readings(corpora, place, 0)]
    return [StageSection("tokenize", lines), *([StageSection("pretrain", read)] if read else [])]


def _left_out(orders: dict[str, Order], row: DocumentRow) -> str:
    domain = row["domain"]
    if f"train/{domain}" not in orders:
        return f"the mixture has no share for {domain}"
    parent = row.get("parent_id")
    if isinstance(parent, str) and orders[f"heldout/{domain}"].doc_ids.rows_of(parent):
        return "its original is held out"
    return f"rewrites, and documents drawn by the hash of their id, fill the share of {domain}"
