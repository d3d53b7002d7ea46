"""Duplicates as they are found, in any order, given back shard by shard: on disk between."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from k2core.clean.verdict import RuleVerdict, Twin

_TOGETHER = 4_000_000
"""Neighbouring places of the corpus whose duplicates are read together: 160 MB if all are."""
_BUFFERED = 100_000
_REASONS = ("exact_duplicate", "near_duplicate")
_ROW = np.dtype(
    [
        ("place", np.int64),
        ("row", np.int64),
        ("kept", np.uint64),
        ("measured", np.float64),
        ("threshold", np.float64),
        ("reason", np.int8),
    ]
)
Rows = NDArray[np.void]


class FoundTwins:
    """Rows of duplicates in files, some places of the corpus each.

    Args:
        starts: the first place of each shard, and one after the last.
        folder: for the files.
    """

    def __init__(self, starts: NDArray[np.int64], folder: Path) -> None:
        self._starts, self._folder = starts, folder
        self._rows: list[tuple[int, int, int, float, float, int]] = []
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("twins-*"):  # of a run that was killed
            path.unlink()

    def add(self, place: int, row: int, twin: Twin) -> None:
        """A duplicate, by its place in the corpus and its row in the shard."""
        _, reason, measured, threshold = twin.verdict
        kept = int(twin.kept_id, 16)
        self._rows.append((place, row, kept, measured, threshold, _REASONS.index(reason)))
        if len(self._rows) >= _BUFFERED:
            self._write()

    def by_shard(self) -> Iterator[dict[int, Twin]]:
        """Each shard's by row, after the last was added."""
        self._write()
        number, rows = -1, np.empty(0, _ROW)
        for first, last in zip(self._starts[:-1].tolist(), self._starts[1:].tolist(), strict=True):
            found: dict[int, Twin] = {}
            for wanted in range(first // _TOGETHER, -(-last // _TOGETHER)):
                if wanted != number:
                    number, rows = wanted, self._read(wanted)
                a, b = np.searchsorted(rows["place"], (first, last))
                found.update(_twin(row) for row in rows[a:b].tolist())
            yield found

    def _path(self, number: int) -> Path:
        return self._folder / f"twins-{number:06d}"

    def _write(self) -> None:
        rows = np.array(self._rows, _ROW)
        self._rows.clear()
        numbers = rows["place"] // _TOGETHER
        for number in np.unique(numbers).tolist():
            with self._path(number).open("ab") as out:
                out.write(rows[numbers == number].tobytes())

    def _read(self, number: int) -> Rows:
        path = self._path(number)
        rows = np.fromfile(path, _ROW) if path.exists() else np.empty(0, _ROW)
        return rows[np.argsort(rows["place"])]


def _twin(row: tuple[int, int, int, float, float, int]) -> tuple[int, Twin]:
    _, at, kept, measured, threshold, reason = row
    verdict = RuleVerdict("deduplication", _REASONS[reason], measured, threshold)
    return at, Twin(verdict, f"{kept:016x}")
