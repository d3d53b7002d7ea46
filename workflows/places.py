"""What became of a file or of a page: its documents, and what of it no document came of."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, cast

import polars as pl

from infra.index import RunIndex
from schemas.corpus import LossRow
from schemas.ingest import FilesConfig, IngestConfig
from workflows.provenance import Corpora

_SHOWN = 10


class SourcePlace(NamedTuple):
    """A file, a folder or an address as a run read it."""

    corpora: Corpora
    wanted: str
    documents: pl.DataFrame
    """Rows of `Decision`: `doc_id`, `path`, `decision`, `rule`, `reason`."""
    losses: list[LossRow]
    hint: str
    """Why nothing is known of it; empty where something is."""

    def tell(self) -> Iterator[str]:
        """What came of all of it, and some of its documents."""
        num = len(self.documents)
        if num:
            kept = len(self.documents.filter(decision="kept"))
            yield f"{num:,} documents, {kept:,} kept and {num - kept:,} dropped"
        dropped = self.documents.filter(decision="dropped").group_by("rule", "reason").len()
        for rule, reason, count in dropped.sort("len", "reason", descending=True).iter_rows():
            yield f"dropped by {rule}: {reason}, {count:,} of them"
        for row in self.losses[:_SHOWN]:
            what = "left out" if row["by_rule"] else "lost"
            where = f" ({row['place']})" if row["place"] else ""
            detail = f": {row['detail']}" if row["detail"] else ""
            yield f"{what}, {row['file']}{where}: {row['reason']}{detail}"
        yield from _more(len(self.losses), "that was lost or left out")
        for doc_id, path, decision, reason in (
            self.documents.select("doc_id", "path", "decision", "reason").head(_SHOWN).iter_rows()
        ):
            yield f"{doc_id} {path}: {decision}" + (f", {reason}" if decision == "dropped" else "")
        yield from _more(num, "")
        if self.hint:
            yield self.hint


def find_place(wanted: str, candidates: Sequence[Corpora]) -> SourcePlace | None:
    """What the newest run that knows of a path, an address or a source's own id says of it."""
    known = (corpora for corpora in candidates if corpora.has("clean_corpus"))
    found = [place for corpora in known if (place := _look(wanted, corpora)) is not None]
    return next((place for place in found if not place.hint), found[0] if found else None)


def _look(wanted: str, corpora: Corpora) -> SourcePlace | None:
    inside = list(_below(wanted, _files_of(corpora)))
    path = pl.col("path")
    matches = [(path == wanted) | path.str.starts_with(f"{wanted}#")]
    matches += [path.str.ends_with(f"{sign}{wanted}") for sign in ("#", "/")]
    matches.append(path.str.contains(f"/{wanted}#", literal=True))
    for files, name in inside:
        of_file = (path == name) | path.str.starts_with(f"{name}#") | (name == "")
        of_file |= path.str.starts_with(f"{name.rstrip('/')}/")
        matches.append((pl.col("source") == files.name) & of_file)
    if ids := _by_origin(wanted, inside, corpora):
        matches.append(pl.col("doc_id").is_in(ids))
    columns = ["doc_id", "path", "decision", "rule", "reason"]
    decisions = pl.scan_parquet(corpora.folder("clean_corpus") / "decisions" / "*.parquet")
    chosen = decisions.filter(pl.any_horizontal(matches)).select(columns)
    documents = chosen.sort("decision", maintain_order=True).collect()  # those dropped come first
    losses = _losses(wanted, inside, corpora)
    if len(documents) or losses:
        return SourcePlace(corpora, wanted, documents, losses, "")
    if inside:
        return SourcePlace(corpora, wanted, documents, losses, _guess(*inside[0], corpora.run))
    return None


def _files_of(corpora: Corpora) -> tuple[FilesConfig, ...]:
    with RunIndex() as index:
        raw = corpora.artifacts.get("raw_corpus")
        made = index.maker(raw.digest) if raw else None
    return corpora.read_config(made.record, "config", IngestConfig).files if made else ()


def _below(wanted: str, sources: Sequence[FilesConfig]) -> Iterator[tuple[FilesConfig, str]]:
    """Sources in whose place the wanted lies, and what they call it; `` is all of a source."""
    far = "://" in wanted
    place = wanted.rstrip("/") if far else str(Path.cwd() / Path(wanted).expanduser())
    for files in sources:
        root = files.folder.rstrip("/")
        if place == root:
            yield files, ""
        elif place.startswith(f"{root}/"):
            yield files, place.removeprefix(f"{root}/")
        elif not far and Path(root).is_file() and place.startswith(f"{root}#"):
            yield files, Path(root).name + place.removeprefix(root)


def _by_origin(
    wanted: str, inside: Sequence[tuple[FilesConfig, str]], corpora: Corpora
) -> list[str]:
    """Documents that say of themselves that this is their id or address, or that lay there."""
    if not corpora.has("raw_corpus"):
        return []
    shards = list((corpora.folder("raw_corpus") / "origins").glob("*.parquet"))
    if not shards:
        return []
    said = (pl.col("own_id") == wanted) | (pl.col("url") == wanted)
    for name in [wanted, *(name for _, name in inside)]:
        file, sign, place = name.partition("#")
        said |= (pl.col("file") == file) & (pl.col("place") == place) & bool(sign)
    return pl.scan_parquet(shards).filter(said).select("doc_id").collect()["doc_id"].to_list()


def _losses(
    wanted: str, inside: Sequence[tuple[FilesConfig, str]], corpora: Corpora
) -> list[LossRow]:
    if not corpora.has("raw_corpus"):
        return []
    shards = sorted((corpora.folder("raw_corpus") / "losses").glob("*.parquet"))
    if not shards:
        return []
    file = pl.col("file")
    matches = [(file == wanted) | file.str.ends_with(f"/{wanted}")]
    for files, name in inside:
        bare, sign, place = name.partition("#")
        folders = pl.lit(bare).str.starts_with(file) & file.str.ends_with("/")
        of_file = (file == bare) | file.str.starts_with(f"{bare.rstrip('/')}/") | folders
        there = (pl.col("place") == place) | (not sign)
        matches.append((pl.col("source") == files.name) & (of_file | (bare == "")) & there)
    found = pl.scan_parquet(shards).filter(pl.any_horizontal(matches)).collect()
    return cast(list[LossRow], found.to_dicts())


def _guess(files: FilesConfig, name: str, run: str) -> str:
    """Why a source gave nothing of that name."""
    if not fnmatchcase(name, files.pattern):
        return f"not read: the pattern {files.pattern!r} of source {files.name!r} leaves it out"
    return (
        f"source {files.name!r} of run {run} had no such file when it was read: run it again if "
        "the file is new"
    )


def _more(num: int, what: str) -> Iterator[str]:
    if num > _SHOWN:
        yield f"and {num - _SHOWN:,} more{' ' if what else ''}{what}"
