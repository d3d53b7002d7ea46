"""What becomes of documents that others have a say in, without their texts; shard by shard.

Only what the shards' files say is read: signatures, keys and lengths. `written` carries it out with
the texts, shard by shard of the clean corpus.
"""

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k2core.clean.duplicates import find_duplicates
from k2core.clean.outline import JUDGED, read_outline
from k2core.clean.passages import PassageCutter
from k2core.clean.verdict import RuleVerdict, Twin
from k2core.pieces import Crew, Made, Piece, made_file
from schemas.clean import CleanConfig


class Fate(NamedTuple):
    """Of a document that no rule dropped."""

    verdict: RuleVerdict | None
    """Why it goes, if it does."""
    twin: Twin | None = None
    """If it is a duplicate."""
    removed: dict[int, str] = {}  # noqa: RUF012 - never changed
    """Numbers of the passages that are cut out, with the document that each stands in."""


class ShardPart(NamedTuple):
    """Rows of one judged shard that go into one shard of the clean corpus."""

    first: int
    last: int
    """The row after them."""
    fates: dict[int, Fate]
    """Of rows that others have a say in."""


class Decided(NamedTuple):
    """A judged shard."""

    fates: dict[int, Fate]
    num_bytes: NDArray[np.int64]
    """Of each document's text, as it will be."""


def plan_shards(
    config: CleanConfig, judged: Sequence[Made], crew: Crew, scratch: Path
) -> list[Piece]:
    """The shards of the clean corpus: what goes into each, in a file, and the rows it is of.

    They are cut by what they hold, so that the raw corpus' own shards leave no trace.

    Args:
        config: the stage's.
        judged: what is said of each raw shard, in order.
        crew: who looks at texts once more, for their meaning.
        scratch: for plans, and what is found on the way.
    """
    plans = scratch / "plans"
    plans.mkdir(exist_ok=True)
    pieces: list[Piece] = []
    parts: list[tuple[Made, ShardPart]] = []
    documents = num_bytes = 0

    def close() -> None:
        nonlocal parts, documents, num_bytes
        path = plans / f"{len(pieces):06d}"
        path.write_bytes(pickle.dumps([part for _, part in parts]))
        files = (made_file(path), *(made.file(JUDGED) for made, _ in parts))
        pieces.append(Piece(files, f"{len(pieces):05d}.parquet"))
        parts, documents, num_bytes = [], 0, 0

    for made, found in zip(judged, _decide(config, judged, crew, scratch), strict=True):
        first, sizes = 0, found.num_bytes.tolist()
        for row, size in enumerate(sizes, 1):
            documents, num_bytes = documents + 1, num_bytes + size
            full = documents == config.shard_documents or num_bytes >= config.shard_bytes
            if full or row == len(sizes):
                fates = {at: found.fates[at] for at in range(first, row) if at in found.fates}
                parts.append((made, ShardPart(first, row, fates)))
                first = row
            if full:
                close()
    if parts:
        close()
    return pieces


def _decide(
    config: CleanConfig, judged: Sequence[Made], crew: Crew, scratch: Path
) -> Iterator[Decided]:
    rules, cutter = config.deduplication, None
    if rules.passages:
        folders = [made.folder for made in judged]
        cutter = PassageCutter(rules.passages, config.min_characters, folders, scratch / "passages")
    duplicates = find_duplicates(rules, judged, crew, scratch)
    for number, (made, twins) in enumerate(zip(judged, duplicates, strict=True)):
        outline = read_outline(made.folder)
        num_bytes = outline["num_bytes"].to_numpy().copy()
        fates = {row: Fate(twin.verdict, twin) for row, twin in twins.items()}
        if cutter:
            gone = (outline["dropped"] | outline["sampled_out"]).to_list()
            for row in cutter.open(number):
                if gone[row] or row in fates:
                    continue
                cut = cutter.cut(row, outline["doc_id"][row])
                if cut.verdict or cut.removed:
                    fates[row] = Fate(cut.verdict, removed=cut.removed)
                    num_bytes[row] = num_bytes[row] if cut.verdict else cut.num_bytes
        yield Decided(fates, num_bytes)
