"""What became of the documents: counts by rule and reason, a picture, a sample of rejects."""

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from k2core.clean.outline import KEPT
from k2core.clean.verdict import VERSIONS, RuleVerdict
from schemas.corpus import DocumentRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RULES = tuple(VERSIONS)
_SAMPLE_CHARACTERS = 160


class Funnel:
    """Counts of documents, kept as they come."""

    def __init__(self, num_samples: int) -> None:
        self._num_samples = num_samples
        self.raw: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self.rejects: Counter[tuple[str, str, str]] = Counter()
        self.redactions: Counter[str] = Counter()
        self.words = 0
        self.samples: dict[tuple[str, str], list[dict[str, object]]] = defaultdict(list)

    def add(self, row: DocumentRow, verdict: RuleVerdict | None) -> None:
        """Count one document."""
        domain = row["domain"]
        self.raw[domain] += 1
        if verdict is None:
            self.kept[domain] += 1
            self.words += len(row["text"].split())
            return
        self.rejects[domain, verdict.rule, verdict.reason] += 1
        samples = self.samples[verdict.rule, verdict.reason]
        if len(samples) < self._num_samples:
            text = " ".join(row["text"][: 2 * _SAMPLE_CHARACTERS].split())[:_SAMPLE_CHARACTERS]
            about = {key: row[key] for key in ("domain", "path")}
            samples.append({**verdict._asdict(), **about, "text": text})

    def merge(self, other: "Funnel") -> None:
        """Count documents that come after these."""
        self.raw.update(other.raw)
        self.kept.update(other.kept)
        self.rejects.update(other.rejects)
        self.redactions.update(other.redactions)  # with its zeros, which + would drop
        self.words += other.words
        for key, samples in other.samples.items():
            self.samples[key] = (self.samples[key] + samples)[: self._num_samples]

    def count_fates(self) -> Counter[str]:
        """Documents by the rule that dropped them, or `outline.KEPT`."""
        fates = Counter({KEPT: self.kept.total()})
        for (_, rule, _), count in self.rejects.items():
            fates[rule] += count
        return fates

    def summary(self) -> dict[str, object]:
        """`funnel.json`."""
        domains: dict[str, dict[str, object]] = {}
        for domain in sorted(self.raw):
            reasons = {
                f"{rule}/{reason}": count
                for (of, rule, reason), count in sorted(self.rejects.items())
                if of == domain
            }
            counts = {"raw": self.raw[domain], "kept": self.kept[domain]}
            domains[domain] = {**counts, "rejects": reasons}
        return {"domains": domains, "redactions": dict(sorted(self.redactions.items()))}

    def reject_samples(self) -> list[dict[str, object]]:
        """Some rejects of each reason, in the rules' order."""
        keys = sorted(self.samples, key=lambda key: (RULES.index(key[0]), key[1]))
        return [sample for key in keys for sample in self.samples[key]]

    def draw(self) -> "Figure":
        """Documents left after each rule, by domain."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 3.2), layout="constrained")
        axes = figure.subplots()
        left = dict(self.raw)
        names = ["collected", *RULES]
        offsets = [0] * len(names)
        heights: dict[str, list[int]] = {domain: [] for domain in sorted(self.raw)}
        for rule in names:
            for domain in heights:
                gone = sum(
                    n for (of, by, _), n in self.rejects.items() if (of, by) == (domain, rule)
                )
                left[domain] = left.get(domain, 0) - gone
                heights[domain].append(left[domain])
        for domain, counts in heights.items():
            axes.barh(names, counts, left=offsets, label=domain)
            offsets = [a + b for a, b in zip(offsets, counts, strict=True)]
        axes.invert_yaxis()
        axes.set_xlabel("documents left")
        axes.legend()
        return figure
