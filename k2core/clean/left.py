"""What is left of the documents while they are cleaned, in a line."""

from collections import Counter
from pathlib import Path

from k2core.clean.outline import KEPT, read_outline
from k2core.clean.verdict import VERSIONS

_BEFORE_TEXT = ("exclusion", "url", "extraction")


def tell_left(fates: Counter[str]) -> str:
    """How many came in and were kept, and what each rule took, the greediest first.

    Args:
        fates: documents by the rule that dropped them, or `KEPT`.
    """
    read = fates.total()
    extracted = read - sum(fates[rule] for rule in _BEFORE_TEXT)
    taken = sorted((rule for rule in VERSIONS if fates[rule]), key=lambda rule: -fates[rule])
    losses = "".join(f"  {rule} -{fates[rule]:,}" for rule in taken)
    return f"{read:,} read, {extracted:,} extracted, {fates[KEPT]:,} kept{losses}"


def count_judged(folder: Path) -> Counter[str]:
    """Of a judged shard's documents, by the rule that dropped them or `KEPT`."""
    return Counter(dict(read_outline(folder).group_by("rule").len().iter_rows()))
