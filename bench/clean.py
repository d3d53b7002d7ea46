"""Cleaning rules on one core: ours, a batch at a time, against datatrove's filters.

Gopher's repetition and quality, C4, FineWeb and PII, with the papers' thresholds on both sides, on
Wikipedia extracts, pages of the Python documentation and the standard library's docstrings, joined
to the lengths of web pages.

    python -m bench.clean [NUM_DOCUMENTS]
"""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.contest import run_ours, run_peer
from bench.corpus import make_documents
from bench.table import Row, print_table

_BATCH = 1000


class Outcome(NamedTuple):
    """What one side did: seconds, and of each document what dropped it (empty: kept)."""

    seconds: float
    reasons: list[str]


def measure(num_documents: int = 1500) -> list[Row]:
    """Seconds for all documents; the remark compares decisions."""
    with tempfile.TemporaryDirectory() as folder:
        texts = make_documents(num_documents)
        path = Path(folder) / "documents.json"
        path.write_text(json.dumps(texts))
        ours = _run_ours(path)
        peer = _run_peer(path)
        lines = explain(texts, ours, peer, Path(folder))
    equal = [bool(a) == bool(b) for a, b in zip(ours.reasons, peer.reasons, strict=True)]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    share = f"{sum(equal)}/{len(equal)} decisions equal ({sum(equal) / len(equal):.2%})"
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return [
        Row("ours", ours.seconds, f"{_speed(ours, megabytes)}; {share}"),
        Row("datatrove 0.10.1", peer.seconds, _speed(peer, megabytes)),
    ]


def judge_ours(texts: list[str]) -> list[str]:
    """What drops each text, by the pipeline's own rules."""
    import polars as pl

    from k2core.clean.checks import first_failures
    from k2core.clean.judge import check_texts
    from k2core.clean.privacy import redact_all
    from schemas.clean import C4, CleanConfig, DomainRules, FineWeb

    rules = DomainRules(language=False, c4=C4(end_marks=False), fineweb=FineWeb())
    reasons = []
    for start in range(0, len(texts), _BATCH):
        batch = pl.Series(texts[start : start + _BATCH])
        checked = check_texts(batch, rules, CleanConfig(min_characters=1))
        redact_all(checked.texts)
        checks = checked.checks
        failed = first_failures(checks, len(batch))
        reasons += [f"{checks[n].rule}/{checks[n].reason}" if n >= 0 else "" for n in failed]
    return reasons


def explain(texts: list[str], ours: Outcome, peer: Outcome, folder: Path) -> list[str]:
    """The confusion matrix, and for each difference whether it goes when words are ours too."""
    counts = Counter((bool(a), bool(b)) for a, b in zip(ours.reasons, peer.reasons, strict=True))
    names = {False: "kept", True: "dropped"}
    lines = [f"ours {names[a]}, datatrove {names[b]}: {n}" for (a, b), n in sorted(counts.items())]
    rows = zip(texts, ours.reasons, peer.reasons, strict=True)
    differ = [(text, a, b) for text, a, b in rows if bool(a) != bool(b)]
    if not differ:
        return lines
    path, words = folder / "differ.json", folder / "words.json"
    path.write_text(json.dumps([text for text, _, _ in differ]))
    words.write_text(json.dumps({text: _split(text) for text, _, _ in differ}))
    again = _run_peer(path, words)
    for (text, a, b), reason in zip(differ, again.reasons, strict=True):
        cause = "the words are split otherwise" if bool(reason) == bool(a) else "the rule itself"
        lines.append(f"  {text[:40]!r}: ours {a or 'kept'}, datatrove {b or 'kept'}: {cause}")
    return lines


def _split(text: str) -> list[str]:
    from k2core.clean.words import split_piece

    return [word for piece in text.split() for word in split_piece(piece)]


def _speed(outcome: Outcome, megabytes: float) -> str:
    rate = len(outcome.reasons) / outcome.seconds
    return f"{rate:.0f} documents/s, {megabytes / outcome.seconds:.2f} MB/s"


def _run_ours(documents: Path) -> Outcome:
    """In a fresh process: nothing is warm, as datatrove's is not."""
    found = run_ours("bench.clean", "--ours", documents, documents.with_name("ours.json"))
    return Outcome(found["seconds"], found["reasons"])


def _run_peer(documents: Path, *words: Path) -> Outcome:
    result = documents.with_name("peer.json")
    found = run_peer("datatrove_clean.py", documents, result, *words, result=result)
    return Outcome(found["seconds"], found["reasons"])


def _time_ours(documents: Path, result: Path) -> None:
    texts = json.loads(documents.read_text())
    judge_ours(["The first text loads what the rules need. " * 20])
    started = time.perf_counter()
    reasons = judge_ours(texts)
    found = {"seconds": time.perf_counter() - started, "reasons": reasons}
    result.write_text(json.dumps(found))


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, print, and end with the ratio of speeds."""
    if list(arguments[:1]) == ["--ours"]:
        _time_ours(Path(arguments[1]), Path(arguments[2]))
        return
    rows = measure(*map(int, arguments))
    print_table("Cleaning rules, one core", rows)
    sys.stdout.write(f"clean ratio={rows[1].seconds / rows[0].seconds:.1f}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
