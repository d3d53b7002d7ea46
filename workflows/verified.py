"""What a verification found: the first thing that diverged, all others, and how much was read."""

from collections import Counter
from typing import NamedTuple


class Divergence(NamedTuple):
    """One thing that is not what was recorded of it."""

    where: str
    """Whose it is, e.g. `checkpoint 783586d14c28 of rl`."""
    what: str
    """`changed`, `missing`, `extra`, or in words what contradicts what."""
    file: str
    """Relative to where it is."""

    def __str__(self) -> str:
        return f"{self.where}: {self.file} {self.what}"


class ChainVerification:
    """Findings in the order of the chain."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.divergences: list[Divergence] = []
        self.checked: Counter[str] = Counter()
        self.notes: list[str] = []

    def count(self, what: str, number: int = 1) -> None:
        """So many more were looked at."""
        self.checked[what] += number

    def diverged(self, where: str, what: str, file: str) -> None:
        """Something is wrong."""
        self.divergences.append(Divergence(where, what, file))

    def as_json(self) -> dict[str, object]:
        """For programs."""
        found = [divergence._asdict() for divergence in self.divergences]
        return {
            "target": self.target,
            "verified": not found,
            "first": found[0] if found else None,
            "divergences": found,
            "checked": dict(sorted(self.checked.items())),
            "notes": self.notes,
        }

    def describe(self) -> str:
        """For people."""
        checked = ", ".join(f"{number:,} {what}" for what, number in sorted(self.checked.items()))
        if not self.divergences:
            lines = [f"{self.target} is what was recorded: {checked}"]
        else:
            first, *others = self.divergences
            lines = [f"{self.target} DIVERGED ({checked} looked at)", f"  first: {first}"]
            lines += [f"  then:  {other}" for other in others]
        return "\n".join([*lines, *(f"  note:  {note}" for note in self.notes)])
