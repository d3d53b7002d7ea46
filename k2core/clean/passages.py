"""Passages that stand in an earlier document word for word are cut out (arXiv:1911.00359).

Keys of a shard's passages are files beside its signatures; shared ones are found on disk, and only
they are looked at, in the corpus' order. What is cut out of kept documents alone counts as standing
somewhere: a dropped document takes no passage from those after it.

Shape suffixes: P passages, G passages that share their key with another.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from k2core.clean.groups import GROUP, ITEM, LAST, Groups
from k2core.clean.signatures import save_array
from k2core.clean.verdict import Verdict
from schemas.clean import RepeatedPassages
from schemas.corpus import DocumentRow

_SEPARATOR = {"line": "\n", "paragraph": "\n\n"}
ROW, NUMBER, KEY = 0, 1, 2
"""Lines of a shard's file: row of the document, number of the passage in it, key."""


class Cut(NamedTuple):
    """What is left of a document, or why it goes."""

    text: str
    removed: list[dict[str, object]]
    """`RepeatedPassage` rows."""
    verdict: Verdict | None


def sign_passages(judged: Path, folder: Path, config: RepeatedPassages) -> None:
    """Write the keys of a shard of `JudgedDocument` rows; nothing where they are already."""
    target = _path(folder, judged.stem)
    if target.exists():
        return
    frame = pl.read_parquet(judged, columns=["domain", "dropped", "text"]).with_row_index("row")
    wanted = frame.filter(~pl.col("dropped"), pl.col("domain").is_in(config.domains))
    passages = (
        wanted.select("row", pl.col("text").str.split(_SEPARATOR[config.unit]))
        .with_columns(number=pl.int_ranges(pl.col("text").list.len()))
        .explode("text", "number")
        .with_columns(text=_normalise(pl.col("text")))
        .filter(pl.col("text").str.len_chars() >= config.min_characters)
    )
    keys_P = np.array([_key(text) for text in passages["text"]], np.uint64)
    lines = [passages["row"].to_numpy(), passages["number"].to_numpy(), keys_P]
    folder.mkdir(parents=True, exist_ok=True)
    save_array(target, np.stack([line.astype(np.uint64) for line in lines]))


class PassageCutter:
    """Where passages stand that occur again later; shards are opened in order, each once."""

    def __init__(
        self, config: RepeatedPassages, min_characters: int, folder: Path, stems: Sequence[str]
    ) -> None:
        """Find shared keys among the shards' files.

        Args:
            config: what a passage is.
            min_characters: a document of fewer that are left is empty.
            folder: where `sign_passages` wrote.
            stems: the shards' names in the corpus' order.
        """
        self._config = config
        self._min_characters = min_characters
        self._shards = [np.load(_path(folder, stem), mmap_mode="r") for stem in stems]
        self._starts = np.cumsum([0, *(shard.shape[1] for shard in self._shards)]).tolist()
        self._groups = Groups(folder / "groups")
        self._groups.add(self._keys, len(stems), self._starts[-1])
        self._holders: dict[int, str] = {}
        self._ending: list[int] = []
        self._repeated: dict[int, list[tuple[int, int]]] = {}

    def open(self, number: int) -> None:
        """Turn to the next shard."""
        start, end = self._starts[number], self._starts[number + 1]
        (lines,) = self._groups.between(start, end)
        places = self._shards[number][:, lines[ITEM] - start]
        for group in self._ending:
            self._holders.pop(group, None)
        self._ending = lines[GROUP, lines[LAST] < end].tolist()
        self._repeated = defaultdict(list)
        for row, at, group in zip(*places[:2].tolist(), lines[GROUP].tolist(), strict=True):
            self._repeated[row].append((at, group))

    def cut(self, row: int, document: DocumentRow) -> Cut:
        """Cut a document that nothing else dropped."""
        name, text = document["doc_id"], document["text"]
        separator = _SEPARATOR[self._config.unit]
        passages = text.split(separator)
        own: dict[int, str] = {}
        removed: dict[int, str] = {}
        for at, group in self._repeated.get(row, ()):
            holder = self._holders.get(group) or own.get(group)
            if holder is None:
                own[group] = name
            else:
                removed[at] = holder
        left = separator.join(p for at, p in enumerate(passages) if at not in removed).strip("\n")
        verdict = self._weigh(text, left) if removed else None
        if verdict:
            return Cut(text, [], verdict)
        self._holders |= own
        if not removed:
            return Cut(text, [], None)
        rows: list[dict[str, object]] = [
            {"doc_id": name, "kept_id": holder, "number": at, "text": passages[at]}
            for at, holder in removed.items()
        ]
        return Cut(left, rows, None)

    def _weigh(self, text: str, left: str) -> Verdict | None:
        share, limit = 1 - len(left) / len(text), self._config.max_removed_frac
        if share > limit:
            return Verdict("deduplication", "repeated_passages", share, limit)
        if len(left) < self._min_characters:
            return Verdict("extraction", "no_text", float(len(left)), float(self._min_characters))
        return None

    def _keys(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        keys_P = self._shards[number][KEY]
        return np.arange(len(keys_P)) + self._starts[number], keys_P


def _normalise(text: pl.Expr) -> pl.Expr:
    plain = text.str.to_lowercase().str.normalize("NFD").str.replace_all(r"[\p{Mn}\p{P}]+", "")
    return plain.str.replace_all(r"\p{Nd}", "0").str.replace_all(r"\s+", " ").str.strip_chars()


def _key(text: str) -> int:
    """64 bits, as in CCNet."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _path(folder: Path, stem: str) -> Path:
    return folder / f"{stem}.passages.npy"
