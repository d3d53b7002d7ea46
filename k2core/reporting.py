"""What a stage has to say while it runs, through one protocol that tasks bind to their world."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Turn(NamedTuple):
    """A line of a dialogue for readers."""

    who: str
    """`user`, `assistant`, `tool NAME`; or what else is said of it, such as `verdict`."""
    text: str


class Reporter(Protocol):
    """Progress, metrics, plots and samples of a running stage."""

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Show how far the stage is, in any unit, with a short note such as `loss 2.31`.

        A total of 0 is one that is not known yet.
        """

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record a point of each named curve."""

    def plot(self, title: str, figure: "Figure") -> None:
        """Add a figure to the report."""

    def table(self, title: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Add a table to the report, e.g. a sample of rejects."""

    def dialogue(self, title: str, turns: Sequence[Turn]) -> None:
        """Add a dialogue to the report, to be read from top to bottom."""


class Silent:
    """A reporter that says nothing: for tests and for ranks other than 0."""

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Say nothing."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Say nothing."""

    def plot(self, title: str, figure: "Figure") -> None:
        """Say nothing."""

    def table(self, title: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Say nothing."""

    def dialogue(self, title: str, turns: Sequence[Turn]) -> None:
        """Say nothing."""
