"""`k2 why`: what became of a document, and which document a token is from."""

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from k2core.reporting import Silent
from k2core.store import Workspace
from k2core.tokenize.trace import (
    Order,
    TraceError,
    compare_orders,
    replay_orders,
    verify_place,
)
from schemas.tokenize import TokenizeConfig
from tasks.store import open_store
from workflows.errors import MendableError
from workflows.find import LATEST
from workflows.places import find_place
from workflows.provenance import Corpora, FoundDocument, find_document, list_corpora
from workflows.show import show_line
from workflows.story import StageSection, list_readings, orders_of, read_text, tell_document

_ID = re.compile(r"[0-9a-f]{2,16}")


def explain(wanted: str, source: str = LATEST, *, as_json: bool = False) -> None:
    """Print what became of a document or rewrite by its id, or of a file, folder or address."""
    candidates = list_corpora(source)
    place = None if _ID.fullmatch(wanted) else find_place(wanted, candidates)
    if place is None:
        found = find_document(wanted, candidates)
    elif len(place.documents) == 1 and not place.losses:
        found = FoundDocument(place.corpora, place.documents["doc_id"][0])
    else:
        told = [StageSection("ingest", list(place.tell()))]
        _print(f"{wanted} in run {place.corpora.run}", told, as_json)
        return
    _print(f"{found.doc_id} in run {found.corpora.run}", tell_document(*found), as_json)


def explain_token(
    token: str, source: str = LATEST, replay: bool = False, *, as_json: bool = False
) -> None:
    """Print which document a token is from, verified, and what became of that document.

    Args:
        token: `SHARD:OFFSET`.
        source: a run's name or its beginning.
        replay: derive the shard's order from config and corpora, and hold the manifest to it.
        as_json: for programs.
    """
    shard, offset = parse_token(token)
    candidates = list_corpora(source)
    corpora = next((c for c in candidates if c.has("token_corpus")), None)
    if corpora is None:
        raise MendableError(
            f"run {candidates[0].run} has no tokens in this store: `k2 run` makes some"
        )
    try:
        sections = trace_token(corpora, shard, offset, replay)
    except TraceError as error:
        raise MendableError(str(error)) from error
    _print(f"{shard}:{offset} in run {corpora.run}", sections, as_json)


def parse_token(token: str) -> tuple[str, int]:
    """`train/web:12`, or `web:12` for short.

    Raises:
        MendableError: it is written otherwise.
    """
    shard, _, offset = token.rpartition(":")
    if not shard or not offset.isdecimal():
        raise MendableError(
            f"--token {token!r}: write SHARD:OFFSET, the shard as train/DOMAIN or heldout/DOMAIN "
            "and the token's number in it from 0, e.g. train/web:1234"
        )
    return shard if "/" in shard else f"train/{shard}", int(offset)


def trace_token(corpora: Corpora, shard: str, offset: int, replay: bool) -> list[StageSection]:
    """The token, its document by the order of the shard, and that document's own story.

    Raises:
        TraceError: there is no such token, or the tokens are not those that the texts make.
    """
    folder = corpora.folder("token_corpus")
    orders, how = orders_of(corpora), "by the manifest's order"
    if replay:
        replayed = replay_corpora(corpora)
        compare_orders(orders, replayed)
        orders, how = replayed, "by the order replayed from config and texts, as in the manifest"
    if shard not in orders:
        raise TraceError(f"no shard {shard!r}; there are {', '.join(sorted(orders))}")
    place = orders[shard].locate(offset)
    verify_place(folder, orders[shard], place, read_text(corpora, place.doc_id))
    at = offset - place.start
    lines = [
        f"token {at} of the {place.length} of document {place.doc_id}, {how}",
        f"verified: its text, encoded again, is what lies in {place.describe()}",
    ]
    if shard.startswith("train/"):
        lines += list_readings(corpora, place, at)
    return [StageSection("token", lines), *tell_document(corpora, place.doc_id)]


def replay_corpora(corpora: Corpora) -> dict[str, Order]:
    """The shards' orders from the recorded config and the texts; the manifest is not read."""
    config = corpora.config_of("token_corpus", TokenizeConfig)
    texts = (corpora.folder("clean_corpus"), corpora.folder("rephrased_corpus"))
    with tempfile.TemporaryDirectory(prefix="k2-why-") as scratch:
        store, folder = open_store(), Path(scratch)
        workspace = Workspace(
            store, folder, folder, store.states("why"), Silent(), store.states("why")
        )
        tokenizer = corpora.folder("token_corpus") / "tokenizer"
        return replay_orders(config, tokenizer, *texts, workspace)


def _print(title: str, sections: Sequence[StageSection], as_json: bool) -> None:
    if as_json:
        told = [{"stage": section.stage, "lines": list(section.lines)} for section in sections]
        print(json.dumps({"answer": title, "sections": told}, indent=1))
        return
    show_line(title, "bold")
    for section in sections:
        for number, line in enumerate(section.lines):
            show_line(f"  {'' if number else section.stage:<10}{line}")
