"""What a shard says of its documents to those of other shards: digests, MinHash bands, signatures.

A pure function of one shard, so that it runs where the shard lies; the files are all that the
search for duplicates reads. Shape suffixes: N documents that rules left, H hashes, K key columns.
"""

import resource
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rensa import RMinHash

from k2core.clean.language import reason_of
from k2core.clean.shingles import Hashes, Ints, fold_product, hash_shingles
from schemas.clean import CleanConfig, Deduplication

Signatures = NDArray[np.uint32]

_SEED = 1
_LONGEST = 2**32 - 1
_BATCH_BYTES = 1_000_000
"""Texts signed together: they stay near the caches. No signature depends on it."""
_START, _FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
ROW, ID, NEAR, DIGEST, PREFERENCE, BANDS = 0, 1, 2, 3, 7, 8
"""Lines of `SignedShard.keys_KN`: row in the shard, `doc_id`, whether near-duplicates are asked
for, SHA-256 of the text in four, how much it is to be preferred to its copies (lower is better),
then a key for each band."""


_MOST_OPEN = 4096
_COLUMNS = ["doc_id", "source", "domain", "dropped", "digest", "text", "measures"]


class SignedShard(NamedTuple):
    """A shard's files, mapped into memory: read where they are looked at."""

    keys_KN: Hashes
    signatures_NH: Signatures

    @property
    def num(self) -> int:
        """Documents that rules left."""
        return len(self.keys_KN[ROW])


class SignedShards:
    """Shards in the corpus' order, opened where they are looked at, and only so many at a time.

    Args:
        prefixes: of their files: the folder that `sign_shard` wrote in, and the shard's stem.
    """

    def __init__(self, prefixes: Sequence[Path]) -> None:
        self._prefixes = prefixes
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = min(_MOST_OPEN, files // 8)  # each holds two files open
        self._open = lru_cache(maxsize=most)(self._open_shard)
        self.sizes = [shard.num for shard in self]
        """Documents of each that rules left."""

    def __getitem__(self, number: int) -> SignedShard:
        return self._open(number)

    def __iter__(self) -> Iterator[SignedShard]:
        return map(self._open, range(len(self._prefixes)))

    def _open_shard(self, number: int) -> SignedShard:
        prefix = self._prefixes[number]
        return open_signed(prefix.parent, prefix.name)


def sign_shard(judged: Path, folder: Path, config: CleanConfig) -> None:
    """Write the files of a shard of `JudgedDocument` rows."""
    keys, signatures = _paths(folder, judged.stem)
    frame = pl.read_parquet(judged, columns=_COLUMNS)
    frame = frame.with_row_index("row").filter(~pl.col("dropped"))
    asks = [name for name in frame["domain"].unique() if config.rules_for(name).near_duplicates]
    near_N = frame["domain"].is_in(asks).to_numpy()
    rules = config.deduplication
    signatures_NH = np.zeros((len(frame), rules.num_bands * rules.num_rows), np.uint32)
    signatures_NH[near_N] = sign_texts(frame["text"].filter(pl.Series(near_N)), rules)
    digests_ND = np.array([bytes.fromhex(digest) for digest in frame["digest"]], "S32")
    lines = [
        frame["row"].to_numpy().astype(np.uint64),
        np.array([int(doc_id, 16) for doc_id in frame["doc_id"]], np.uint64),
        near_N.astype(np.uint64),
        *digests_ND.view("<u8").reshape(-1, 4).T,
        rank_copies(frame, config),
        *make_bands(signatures_NH, rules),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    save_array(signatures, signatures_NH)
    save_array(keys, np.stack(lines))


def open_signed(folder: Path, stem: str) -> SignedShard:
    """The files that `sign_shard` wrote."""
    keys, signatures = _paths(folder, stem)
    return SignedShard(np.load(keys, mmap_mode="r"), np.load(signatures, mmap_mode="r"))


def sign_texts(texts: pl.Series, config: Deduplication) -> Signatures:
    """MinHash signatures (arXiv:2107.06499, section 4.2) of texts, (N, H)."""
    num = config.num_bands * config.num_rows
    signatures_NH = np.zeros((len(texts), num), np.uint32)
    for start, stop in _split(texts):
        shingles = hash_shingles(texts[start:stop], config.ngram)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            shingles.hashes_S, shingles.offsets_N.astype(np.uint64), num, _SEED
        )
        signatures_NH[start:stop] = matrix.to_rows()
    return signatures_NH


def rank_copies(frame: pl.DataFrame, config: CleanConfig) -> Hashes:
    """How much each document is to be preferred to copies of it, (N,): the lowest stays.

    Scores count in tenths, as a page's language is not known better than that.

    Args:
        frame: `source`, `text` and `measures` of judged documents.
        config: what counts, and in which order.
    """
    rules, reason = config.deduplication, reason_of(config.languages)
    known = {name: place for place, name in enumerate(rules.sources)}
    places = pl.col("source").replace_strict(known, default=len(known), return_dtype=pl.UInt64)
    score = pl.col("measures").str.json_path_match(f"$.{reason}").cast(pl.Float64)
    tenths = 10 - (score.fill_null(0.0).clip(0, 1) * 10).round().cast(pl.UInt64)
    length = _LONGEST - pl.col("text").str.len_bytes().cast(pl.UInt64).clip(0, _LONGEST)
    parts = {"source": (places, 16), "language": (tenths, 4), "length": (length, 32)}
    ranks_N = np.zeros(len(frame), np.uint64)
    for name in rules.prefer:
        part, bits = parts[name]
        values_N = frame.select(part.alias(name))[name].to_numpy().astype(np.uint64)
        ranks_N = (ranks_N << np.uint64(bits)) | values_N
    return ranks_N


def make_bands(signatures_NH: Signatures, config: Deduplication) -> Hashes:
    """A key for each band of each signature, (bands, N): equal bands have equal keys."""
    num = len(signatures_NH)
    rows = signatures_NH.reshape(num, config.num_bands, config.num_rows).transpose(2, 1, 0)
    keys = np.full((config.num_bands, num), _START)
    for row in rows:
        keys = fold_product(keys ^ row.astype(np.uint64), _FACTOR) + row
    return keys


def _split(texts: pl.Series) -> list[tuple[int, int]]:
    """Ranges of texts of about `_BATCH_BYTES`, at least one text each."""
    if not len(texts):
        return []
    batch_N: Ints = np.cumsum(texts.str.len_bytes().to_numpy().astype(np.int64)) // _BATCH_BYTES
    bounds = [0, *(np.flatnonzero(np.diff(batch_N)) + 1).tolist(), len(texts)]
    return list(pairwise(bounds))


def _paths(folder: Path, stem: str) -> tuple[Path, Path]:
    return folder / f"{stem}.keys.npy", folder / f"{stem}.signatures.npy"


def save_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write an array to be mapped into memory."""
    with path.open("wb") as file:
        np.save(file, array)
