"""The quality classifier on one core: ours against fastText, equal texts and labels.

Two tasks whose classes share their subject, so that no topic gives a class away; leads, pages and
modules are parted into those to train on and those held out, not their pieces:

- garbled: Wikipedia's leads, joined to the lengths of web pages; in every second text one pair of
  neighbouring words in twenty is swapped, as bad extraction does;
- manuals: 150 words of Python's documentation (library, how-tos, tutorial), or of the standard
  library's docstrings, which describe the same modules less well.

Words and pairs of neighbours in as many buckets on both sides; fastText cuts at spaces, ours also
lowers words and takes their outer signs off. FastText as it comes (100 dimensions, 5 epochs), with
ten dimensions, which is quicker, and trained longer. Seconds are of processor time, medians.

    python -m bench.quality [NUM_DOCUMENTS [ROUNDS]]

The last line is `quality ratio=R`: our documents/s in scoring over those of the quickest fastText,
on the longer documents.
"""

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.contest import Result, run_ours, run_peer
from bench.corpus import read_docstrings
from bench.table import Row, print_table
from schemas.selection import Classifier

_RULES = Classifier()
_BATCH = 1000
_PEERS = {
    "fasttext": ("100", "5", "0.1"),
    "fasttext-10": ("10", "5", "0.1"),
    "fasttext-10, trained longer": ("10", "25", "0.5"),
}
"""Dimensions, epochs and rate of learning."""
_SWAPPED_FRAC = 0.05
_MANUALS = ("library/", "howto/", "tutorial/")
_PIECE_WORDS = 150
_MAX_PIECES = 20
_HELD_OUT_FRAC = 1 / 3


class Task(NamedTuple):
    """Documents with their labels: 1 the reference, 0 raw text."""

    train: list[str]
    labels: list[int]
    score: list[str]
    wanted: list[int]


def make_garbled(count: int) -> Task:
    """Joined leads, every second of them with neighbours swapped; no lead is on both sides."""
    from k2core.ingest.knowledge import list_articles
    from schemas.ingest import IngestConfig

    rng = random.Random(0)
    articles = [item.read() for item in list_articles(IngestConfig())]
    rng.shuffle(articles)
    num_held_out = round(len(articles) * _HELD_OUT_FRAC)

    def draw(leads: Sequence[str], num: int) -> tuple[list[str], list[int]]:
        labels = [number % 2 for number in range(num)]
        texts = ["\n\n".join(rng.sample(leads, rng.choice((1, 2, 4, 8)))) for _ in labels]
        pairs = zip(texts, labels, strict=True)
        return [text if label else _garble(text, rng) for text, label in pairs], labels

    held_out = round(count * _HELD_OUT_FRAC)
    train, labels = draw(articles[num_held_out:], count - held_out)
    return Task(train, labels, *draw(articles[:num_held_out], held_out))


def _garble(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    for at in rng.sample(range(len(words) - 1), round(len(words) * _SWAPPED_FRAC)):
        words[at : at + 2] = words[at + 1], words[at]
    return " ".join(words)


def make_manuals(count: int) -> Task:
    """Pieces of documentation against pieces of docstrings; no page or module is on both sides."""
    from k2core.clean.extract import extract_text
    from k2core.ingest.files import list_pages
    from schemas.ingest import IngestConfig

    rng = random.Random(0)
    items = [item for item in list_pages(IngestConfig()) if item.path.startswith(_MANUALS)]
    pages = [extract_text(item.read()) for item in items]
    docstrings = [
        text for name in sorted(sys.stdlib_module_names) if (text := read_docstrings(name))
    ]
    held_out: list[tuple[str, int]] = []
    train: list[tuple[str, int]] = []
    for label, wholes in ((0, docstrings), (1, pages)):
        rng.shuffle(wholes)
        num = round(len(wholes) * _HELD_OUT_FRAC)
        held_out += [(piece, label) for whole in wholes[:num] for piece in _cut(whole)]
        train += [(piece, label) for whole in wholes[num:] for piece in _cut(whole)]
    rng.shuffle(train)
    rng.shuffle(held_out)
    num = round(count * _HELD_OUT_FRAC)
    return Task(*_unzip(train[: count - num]), *_unzip(held_out[:num]))


def _cut(whole: str) -> list[str]:
    words = whole.split()
    starts = range(0, len(words) - _PIECE_WORDS // 2, _PIECE_WORDS)
    return [" ".join(words[start : start + _PIECE_WORDS]) for start in starts][:_MAX_PIECES]


def _unzip(rows: Sequence[tuple[str, int]]) -> tuple[list[str], list[int]]:
    return [text for text, _ in rows], [label for _, label in rows]


MAKERS: dict[str, Callable[[int], Task]] = {"garbled": make_garbled, "manuals": make_manuals}


def measure(count: int = 6000, rounds: int = 3) -> dict[str, list[Row]]:
    """Of each task a row for each contestant: seconds to score the held-out documents."""
    return {name: _contest(make(count), rounds) for name, make in MAKERS.items()}


def _contest(task: Task, rounds: int) -> list[Row]:
    found: dict[str, list[Result]] = {name: [] for name in ("ours", *_PEERS)}
    with tempfile.TemporaryDirectory() as folder:
        path, result = Path(folder) / "task.json", Path(folder) / "result.json"
        path.write_text(json.dumps(task._asdict()))
        for _ in range(rounds):
            found["ours"].append(run_ours("bench.quality", "--ours", path, result))
            for name, settings in _PEERS.items():
                more = (*settings, str(_RULES.num_buckets))
                one = run_peer("fasttext_quality.py", path, result, *more, result=result)
                found[name].append(one)
    return [_row(name, several, task) for name, several in found.items()]


def _row(name: str, several: Sequence[Result], task: Task) -> Row:
    from sklearn.metrics import roc_auc_score

    scoring = statistics.median(found["scoring"] for found in several)
    training = statistics.median(found["training"] for found in several)
    area = roc_auc_score(task.wanted, several[0]["scores"])
    megabytes = sum(len(text.encode()) for text in task.score) / 1e6
    return Row(
        name,
        scoring,
        f"{len(task.score) / scoring:.0f} documents/s, {megabytes / scoring:.1f} MB/s, "
        f"AUC {area:.4f}, trained on {len(task.train)} in {training:.2f} s",
    )


def _time_ours(path: Path, result: Path) -> None:
    import numpy as np
    import polars as pl

    from k2core.clean.batch import TextBatch
    from k2core.clean.classifier import Scorer, list_features
    from k2core.clean.training import fit_weights

    task = json.loads(path.read_text())
    batch = TextBatch(pl.Series(["The first text loads what is needed.", "As ours does."]))
    fit_weights(_RULES, list_features(batch, _RULES.num_buckets), np.array([0, 1]))
    started = time.process_time()
    features = list_features(TextBatch(pl.Series(task["train"])), _RULES.num_buckets)
    weights = fit_weights(_RULES, features, np.array(task["labels"]))
    scorer = Scorer(*weights, 0.0, frozenset())
    training, started = time.process_time() - started, time.process_time()
    scores: list[float] = []
    for start in range(0, len(task["score"]), _BATCH):
        scores += scorer.score(TextBatch(pl.Series(task["score"][start : start + _BATCH]))).tolist()
    scoring = time.process_time() - started
    result.write_text(json.dumps({"training": training, "scoring": scoring, "scores": scores}))


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, print, and end with the ratio of speeds on the longer documents."""
    if list(arguments[:1]) == ["--ours"]:
        _time_ours(Path(arguments[1]), Path(arguments[2]))
        return
    found = measure(*map(int, arguments))
    for name, rows in found.items():
        print_table(f"Quality classifier, {name}, one core", rows)
        for row in rows:
            sys.stdout.write(f"{row.name}: {row.remark}\n")
    for name, rows in found.items():
        ratio = min(row.seconds for row in rows[1:]) / rows[0].seconds
        sys.stdout.write(f"quality/{name} ratio={ratio:.2f}\n")
    rows = found["garbled"]
    sys.stdout.write(f"quality ratio={min(r.seconds for r in rows[1:]) / rows[0].seconds:.2f}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
