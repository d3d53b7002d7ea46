"""The texts to tokenize: clean documents, then their rewrites."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import polars as pl

from k2core.pieces import Crew, Piece, made_file
from k2core.store import StoredFile
from k2core.tables import TableError, read_shard
from schemas.corpus import Decision, Document, Rewrite
from schemas.errors import InputsError

_KEPT = "kept/*.parquet"
_SIZES, _SAMPLE = "sizes.json", "sample.parquet"
_MOST_BYTES = 2**30
"""Of a sample: training a vocabulary takes memory."""
TRAINING = "vocabulary"
"""The pass that learns from the sample."""


def find_shards(clean: Sequence[StoredFile], rephrased: Sequence[StoredFile] = ()) -> list[Piece]:
    """All shards in order; a rephrased corpus may be empty, a clean one may not.

    Each is a piece of work: the table, with a clean one's decisions; told is whether it holds
    rewrites.

    Args:
        clean: files of the clean corpus.
        rephrased: files of its rewrites.
    """
    named = {file.name: file for file in clean}
    kept = [name for name in sorted(named) if fnmatchcase(name, _KEPT)]
    if not kept:
        raise TableError(f"the clean corpus holds no {_KEPT}: rerun the stage that writes it")
    decisions = [named.get(name.replace("kept/", "decisions/", 1)) for name in kept]
    rewrites = sorted((f for f in rephrased if fnmatchcase(f.name, _KEPT)), key=lambda f: f.name)
    return [
        *(
            Piece((named[name], *([decided] if decided else [])), False)
            for name, decided in zip(kept, decisions, strict=True)
        ),
        *(Piece((file,), True) for file in rewrites),
    ]


def files_below(folder: Path) -> list[StoredFile]:
    """An opened corpus' files."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return [made_file(p)._replace(name=p.relative_to(folder).as_posix()) for p in paths]


def read_documents(shard: Path, *, rewrites: bool) -> pl.DataFrame:
    """`doc_id`, `parent_id` (its own for a document), `domain` and `text`."""
    frame = read_shard(shard, Rewrite if rewrites else Document)
    parent = "parent_id" if "parent_id" in frame.columns else "doc_id"
    return frame.select("doc_id", pl.col(parent).alias("parent_id"), "domain", "text")


def read_weights(decisions: Path) -> dict[str, float]:
    """How often the cleaning wants documents of a shard that it does not want once.

    Rewrites are wanted once each: to have more of a document, rewrite it more often.
    """
    frame = read_shard(decisions, Decision).filter(decision="kept")
    return dict(frame.select("doc_id", "sampling_weight").filter(pl.last() != 1).iter_rows())


def sample_texts(
    shards: Sequence[Piece],
    mixture: Mapping[str, float],
    asked: int | None,
    crew: Crew,
    scratch: Path,
) -> Iterator[list[str]]:
    """Texts in the mixture's proportions, shard by shard, some `asked` bytes in all, or all texts.

    Without a mixture, each domain by its size; never more than 1 GiB, for a larger sample changes
    no merge that matters. Documents of a domain with more text than its share are drawn by the hash
    of their id; those of a domain with less come several times.

    Raises:
        InputsError: a domain with a share has no text.
    """
    sizes: Counter[str] = Counter()
    for made in crew.make(_measure_shard, shards, scratch / "sizes"):
        sizes.update(json.loads(made.open(_SIZES).read_text()))
    total = sizes.total()
    natural = {domain: size / total for domain, size in sizes.items() if size}
    shares = {domain: share for domain, share in (mixture or natural).items() if share}
    num_bytes = min(asked or total, _MOST_BYTES)
    if lacking := [f"mixture.{d}={share}" for d, share in shares.items() if not sizes[d]]:
        raise InputsError(
            f"there is no text for {', '.join(lacking)}: collect some, or set it to 0"
        )
    crew.passes.weigh(TRAINING, 0.4 * num_bytes / total)
    copies = {domain: share * num_bytes / sizes[domain] for domain, share in shares.items()}
    for made in crew.make(partial(_sample_shard, copies), shards, scratch / "sample"):
        yield pl.read_parquet(made.open(_SAMPLE))["text"].to_list()
    crew.passes.tell(TRAINING, 0, 1, "training the vocabulary")


def _measure_shard(files: Sequence[Path], rewrites: bool, folder: Path) -> None:
    """Write the bytes of its texts by domain."""
    frame = read_documents(files[0], rewrites=rewrites)
    sizes = frame.group_by("domain").agg(pl.col("text").str.len_bytes().sum())
    (folder / _SIZES).write_text(json.dumps(dict(sizes.sort("domain").iter_rows())))


def _sample_shard(
    copies: Mapping[str, float], files: Sequence[Path], rewrites: bool, folder: Path
) -> None:
    """Write its texts as often as they are drawn."""
    rows = read_documents(files[0], rewrites=rewrites).select("doc_id", "domain", "text")
    texts = [
        text
        for doc_id, domain, text in rows.iter_rows()
        for _ in range(_round(copies.get(domain, 0.0), doc_id))
    ]
    pl.DataFrame({"text": texts}, {"text": pl.String}).write_parquet(folder / _SAMPLE)


def _round(copies: float, doc_id: str) -> int:
    """Up or down by the hash of the document's id, so that the mean is right."""
    draw = hashlib.sha256(f"vocabulary\0{doc_id}".encode()).digest()[:8]
    return math.floor(copies + int.from_bytes(draw, "big") / 2**64)
