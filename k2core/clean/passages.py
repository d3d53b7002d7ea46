"""Passages that stand in an earlier document word for word are cut out (arXiv:1911.00359).

Keys of a shard's passages are files beside its signatures; shared ones are found on disk, and only
they are looked at, in the corpus' order. What is cut out of kept documents alone counts as standing
somewhere: a dropped document takes no passage from those after it.

Shape suffixes: P passages, G passages that share their key with another.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from k2core.clean.groups import GROUP, PLACE, SharedKeys
from k2core.clean.shingles import Hashes
from k2core.clean.signatures import save_array
from k2core.clean.verdict import RuleVerdict
from schemas.clean import RepeatedPassages
from schemas.corpus import DocumentRow

_SEPARATOR = {"line": "\n", "paragraph": "\n\n"}
ROW, NUMBER, KEY = 0, 1, 2
"""Lines of a shard's file: row of the document, number of the passage in it, key."""
_KEYS, _DOCUMENTS, _LENGTHS = "passages.npy", "passage-documents.npy", "passage-lengths.npy"
CHARACTERS, BYTES, LEADING, TRAILING = 0, 1, 2, 3
"""Lines of a shard's lengths, of every passage of the documents it has passages of: what is left
of a document is told by them. The last two count line ends at its ends."""


class Cut(NamedTuple):
    """What is left of a document, or why it goes."""

    removed: dict[int, str]
    """Passages that are cut out, by their numbers, and the document where each stands."""
    num_bytes: int
    verdict: RuleVerdict | None


class _Left(NamedTuple):
    characters: int
    num_bytes: int


def sign_passages(judged: Path, folder: Path, config: RepeatedPassages) -> None:
    """Write keys and lengths of the passages of a shard of `JudgedDocument` rows."""
    frame = pl.read_parquet(judged, columns=["domain", "dropped", "text"]).with_row_index("row")
    wanted = frame.filter(~pl.col("dropped"), pl.col("domain").is_in(config.domains))
    raw, ends = pl.col("text"), "\n"
    every = (
        wanted.select("row", raw.str.split(_SEPARATOR[config.unit]))
        .with_columns(number=pl.int_ranges(raw.list.len()))
        .explode("text", "number")
        .with_columns(characters=raw.str.len_chars(), num_bytes=raw.str.len_bytes())
        .with_columns(
            leading=pl.col("characters") - raw.str.strip_chars_start(ends).str.len_chars(),
            trailing=pl.col("characters") - raw.str.strip_chars_end(ends).str.len_chars(),
        )
    )
    passages = every.with_columns(text=_normalise(raw)).filter(
        raw.str.len_chars() >= config.min_characters
    )
    keys_P = np.array([_key(text) for text in passages["text"]], np.uint64)
    lines = [passages["row"].to_numpy(), passages["number"].to_numpy(), keys_P]
    every = every.filter(pl.col("row").is_in(passages["row"].unique().to_list()))
    starts = np.flatnonzero(every["number"].to_numpy() == 0)
    documents = [every["row"].to_numpy()[starts], starts]
    lengths = [
        every[name].to_numpy() for name in ("characters", "num_bytes", "leading", "trailing")
    ]
    save_array(folder / _KEYS, np.stack([line.astype(np.uint64) for line in lines]))
    save_array(folder / _DOCUMENTS, np.stack([line.astype(np.int64) for line in documents]))
    save_array(folder / _LENGTHS, np.stack([line.astype(np.uint32) for line in lengths]))


def cut_text(
    document: DocumentRow, removed: Mapping[int, str], config: RepeatedPassages
) -> tuple[str, list[dict[str, object]]]:
    """What is left of a document, and `RepeatedPassage` rows of what is cut out."""
    separator = _SEPARATOR[config.unit]
    passages = document["text"].split(separator)
    left = separator.join(p for at, p in enumerate(passages) if at not in removed).strip("\n")
    return left, [
        {"doc_id": document["doc_id"], "kept_id": holder, "number": at, "text": passages[at]}
        for at, holder in removed.items()
    ]


class PassageCutter:
    """Where passages stand that occur again later; shards are opened in order, each once."""

    def __init__(
        self, config: RepeatedPassages, min_characters: int, judged: Sequence[Path], folder: Path
    ) -> None:
        """Find shared keys among the shards' files.

        Args:
            config: what a passage is.
            min_characters: a document of fewer that are left is empty.
            judged: folders where `sign_passages` wrote, in the corpus' order.
            folder: for what is found.
        """
        self._config, self._judged = config, judged
        self._min_characters = min_characters
        sizes = (np.load(each / _KEYS, mmap_mode="r").shape[1] for each in judged)
        self._starts = np.cumsum([0, *sizes]).tolist()
        self._groups = SharedKeys(folder)
        self._groups.add(self._keys, len(judged), self._starts[-1])
        self._holders = self._groups.open_notes()
        """Of each group the document that holds its passage, by its id; 0 if none does yet."""
        self._repeated: dict[int, list[tuple[int, int]]] = {}

    def open(self, number: int) -> list[int]:
        """Turn to the next shard; rows of its documents that hold repeated passages, ascending."""
        start, end = self._starts[number], self._starts[number + 1]
        (lines,) = self._groups.between(start, end)
        keys_3P = np.load(self._judged[number] / _KEYS, mmap_mode="r")
        places = keys_3P[:, lines[PLACE].astype(np.int64) - start]
        self._repeated = defaultdict(list)
        for row, at, group in zip(*places[:2].tolist(), lines[GROUP].tolist(), strict=True):
            self._repeated[row].append((at, group))
        self._documents = np.load(self._judged[number] / _DOCUMENTS)
        self._lengths = np.load(self._judged[number] / _LENGTHS)
        return sorted(self._repeated)

    def cut(self, row: int, name: str) -> Cut:
        """Cut a document of this id, that nothing else dropped; rows are asked for in order."""
        own = set[int]()
        removed: dict[int, str] = {}
        for at, group in self._repeated[row]:
            if holder := int(self._holders[group]):
                removed[at] = f"{holder:016x}"
            elif group in own:
                removed[at] = name
            else:
                own.add(group)
        lengths = self._lengths_of(row)
        whole = self._measure(lengths, {}, strip=False)
        left = self._measure(lengths, removed) if removed else whole
        verdict = self._weigh(whole.characters, left.characters) if removed else None
        if not verdict:
            self._holders[list(own)] = int(name, 16)
        return Cut({} if verdict else removed, left.num_bytes, verdict)

    def _lengths_of(self, row: int) -> list[list[int]]:
        rows, starts = self._documents
        at = int(np.searchsorted(rows, row))
        stop = starts[at + 1] if at + 1 < len(starts) else self._lengths.shape[1]
        lengths: list[list[int]] = self._lengths[:, starts[at] : stop].T.tolist()
        return lengths

    def _measure(
        self, lengths: Sequence[Sequence[int]], removed: Mapping[int, str], *, strip: bool = True
    ) -> _Left:
        """Of what is left when it is joined, without line ends around if they are stripped."""
        kept = [each for at, each in enumerate(lengths) if at not in removed]
        around = 0
        if strip:
            full = [n for n, each in enumerate(kept) if each[LEADING] < each[CHARACTERS]]
            kept = kept[full[0] : full[-1] + 1] if full else []
            around = kept[0][LEADING] + kept[-1][TRAILING] if kept else 0
        between = len(_SEPARATOR[self._config.unit]) * max(0, len(kept) - 1) - around
        return _Left(
            sum(each[CHARACTERS] for each in kept) + between,
            sum(each[BYTES] for each in kept) + between,
        )

    def _weigh(self, whole: int, left: int) -> RuleVerdict | None:
        share, limit = 1 - left / whole, self._config.max_removed_frac
        if share > limit:
            return RuleVerdict("deduplication", "repeated_passages", share, limit)
        if left < self._min_characters:
            return RuleVerdict("extraction", "no_text", float(left), float(self._min_characters))
        return None

    def _keys(self, number: int) -> Hashes:
        keys_P = np.load(self._judged[number] / _KEYS)[KEY]
        places_P = np.arange(len(keys_P), dtype=np.uint64) + np.uint64(self._starts[number])
        return np.stack([np.zeros_like(keys_P), places_P, keys_P])


def _normalise(text: pl.Expr) -> pl.Expr:
    plain = text.str.to_lowercase().str.normalize("NFD").str.replace_all(r"[\p{Mn}\p{P}]+", "")
    return plain.str.replace_all(r"\p{Nd}", "0").str.replace_all(r"\s+", " ").str.strip_chars()


def _key(text: str) -> int:
    """64 bits, as in CCNet."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
