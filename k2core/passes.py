"""How far a stage of several passes is, each of them a part of its time that is known about."""

from collections.abc import Mapping

from k2core.reporting import Reporter


class Passes:
    """Passes in their order, as one progress.

    Args:
        report: hears of it.
        weights: what part of the stage's time each takes, in any unit, those that are not counted
            too, such as the closing (tables, plots); else what is left would be promised wrongly.
    """

    def __init__(self, report: Reporter, weights: Mapping[str, float]) -> None:
        self._report, self._weights = report, dict(weights)

    def weigh(self, name: str, weight: float) -> None:
        """A pass takes another part than was thought."""
        self._weights[name] = weight

    def tell(self, name: str, done: float, total: float, note: str = "") -> None:
        """So much of a pass is done; of one without a weight nothing is said."""
        if name not in self._weights:
            return
        names = list(self._weights)
        before = sum(self._weights[each] for each in names[: names.index(name)])
        share = self._weights[name] * (done / total if total else 1.0)
        self._report.progress(before + share, sum(self._weights.values()), note or name)
