"""What was lost or left out: counted in full, with a few examples of each reason."""

from collections import Counter
from typing import TypedDict

from k2core.ingest.records import RecordFault
from k2core.ingest.source import SourceError
from schemas.corpus import LossRow

_EXAMPLES = 10
_MOST_REASONS = 200
_OTHER = "other reasons"
_MOST_LISTED = 1_000_000
"""Beyond so many, losses are counted only."""


class LossExample(TypedDict):
    """One case of a reason."""

    file: str
    place: str
    detail: str


class Losses:
    """Counts by reason, in `faults.json`, and each by itself, in `losses/*.parquet`."""

    def __init__(self) -> None:
        self.num_files = 0
        self.num_read = 0
        self._lost: Counter[str] = Counter()
        self._by_rule: Counter[str] = Counter()
        self._repaired: Counter[str] = Counter()
        self._examples: dict[str, list[LossExample]] = {}
        self._lost_files: set[int] = set()
        self._source = ""
        self._before = 0
        self._first: dict[str, tuple[bool, LossExample]] = {}
        self._rows: list[LossRow] = []
        self._num_listed = 0

    def begin(self, source: str) -> None:
        """What follows is of this source."""
        self._source, self._before = source, self.num_read
        self._first.clear()

    @property
    def num_read_of_source(self) -> int:
        """Documents of the source that is read."""
        return self.num_read - self._before

    @property
    def num_pending(self) -> int:
        """Rows that `take_rows` would give."""
        return len(self._rows)

    def take_rows(self) -> list[LossRow]:
        """The rows since the last time."""
        rows, self._rows = self._rows, []
        return rows

    @property
    def num_lost(self) -> int:
        """Records that could not be read, a file of which nothing is known counting as one."""
        return self._lost.total()

    @property
    def num_left_out(self) -> int:
        """Records and files that a rule left out."""
        return self._by_rule.total()

    @property
    def num_faulty_files(self) -> int:
        """Files that lost anything."""
        return len(self._lost_files)

    def add(self, file: str, fault: RecordFault) -> None:
        """Count a fault."""
        counts = self._by_rule if fault.by_rule else self._lost
        kind = fault.kind if fault.kind in counts or len(counts) < _MOST_REASONS else _OTHER
        counts[kind] += fault.num
        if not fault.by_rule:
            self._lost_files.add(hash((self._source, file)))
        detail = fault.detail[:300]
        if len(self._first) < _MOST_REASONS:
            example = LossExample(file=file, place=fault.place, detail=detail)
            self._first.setdefault(fault.kind, (fault.by_rule, example))
        if self._num_listed < _MOST_LISTED:
            self._num_listed += 1
            self._rows.append(
                {
                    "source": self._source,
                    "file": file,
                    "place": fault.place,
                    "reason": fault.kind,
                    "detail": detail,
                    "by_rule": fault.by_rule,
                    "num": fault.num,
                }
            )
        self._show(kind, file, fault.place, fault.detail)

    def begin_file(self) -> None:
        """One more is read."""
        self.num_files += 1

    def add_read(self, file: str, place: str, repair: str) -> None:
        """Count a record that was read; if it had to be mended, with what was wrong."""
        self.num_read += 1
        if repair:
            self._repaired[repair] += 1
            self._show(repair, file, place, "")

    def first_reasons(self) -> str:
        """The first that the source lost or left out, in words."""
        kinds = sorted(self._first, key=lambda kind: self._first[kind][0])[:3]
        shown = [(kind, self._first[kind][1]) for kind in kinds]
        return "; ".join(
            " ".join(filter(None, (f"{case['file']}", case["place"] and f"({case['place']})")))
            + f": {kind}"
            + (f", {case['detail']}" if case["detail"] else "")
            for kind, case in shown
        )

    def check_read(self, folder: str) -> None:
        """Refuse a source that gave nothing.

        Raises:
            SourceError: why not.
        """
        if not self.num_read_of_source:
            raise SourceError(f"{folder} gave no document: {self.first_reasons()}")

    def as_counts(self) -> dict[str, int]:
        """What the stage's line says; nothing where nothing was lost."""
        counts = {
            "records lost": self.num_lost,
            "files with losses": self.num_faulty_files,
            "left out by rule": self.num_left_out,
        }
        return {name: count for name, count in counts.items() if count}

    def as_json(self) -> dict[str, object]:
        """`faults.json`."""
        return {
            "files": self.num_files,
            "documents": self.num_read,
            "faulty_files": self.num_faulty_files,
            "lost": dict(self._lost),
            "left_out": dict(self._by_rule),
            "repaired": dict(self._repaired),
            "examples": self._examples,
        }

    def as_table(self) -> list[dict[str, object]]:
        """A row a reason, with its first case."""
        groups = (("lost", self._lost), ("left out", self._by_rule), ("repaired", self._repaired))
        return [
            {"what": what, "reason": kind, "count": num, **self._examples[kind][0]}
            for what, counts in groups
            for kind, num in counts.most_common()
        ]

    def _show(self, kind: str, file: str, place: str, detail: str) -> None:
        examples = self._examples.setdefault(kind, [])
        if len(examples) < _EXAMPLES:
            examples.append({"file": file, "place": place, "detail": detail[:300]})
