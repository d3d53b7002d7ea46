"""Near-duplicates on one core: ours against datatrove's MinHash stages and rensa, same bands.

Shards as the stage's first pass leaves them go in, kept rows come out; real texts (`bench.corpus`)
with edited copies planted. Seconds are of processor time, since wall time on a shared machine
measures the others; both are printed.

    python -m bench.dedup [NUM_DOCUMENTS [ROUNDS]] [--language zh [--html FOLDER] | --language th]

Where no space is between words, a shingle is five signs, for rensa too, which has no words of its
own; datatrove counts words (jieba, PyThaiNLP), of which an edit of one sign changes five, too.
Recall is over planted pairs whose exact Jaccard similarity of word 5-grams reaches the threshold:
how many are parted. Precision is over dropped documents: how many are that similar to another.
The last lines are `dedup/PEER ratio=R`: the peer's seconds over ours.
"""

import argparse
import hashlib
import json
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
import regex

from bench.contest import Result, run_ours, run_peer
from bench.corpus import SCRIPTS, make_documents, make_unspaced
from bench.table import Row, print_table
from schemas.clean import CleanConfig

_RULES = CleanConfig().deduplication
_SHARD = 1000
_EDITED = (0.0, 0.003, 0.01, 0.02, 0.03, 0.04, 0.06, 0.1)
"""Shares of a copy's words that are edited: 3 % leaves a Jaccard similarity of about 0.75."""
_WORD = re.compile(r"\w+")
_SIGN = regex.compile(r"[\p{Han}\p{Thai}]\p{M}*")
_PEERS_LANGUAGE = {"en": "eng", "zh": "cmn", "th": "tha"}
_LANGUAGE_FILE = "language"


class Planted(NamedTuple):
    """Texts in a random order, and which of them are edited copies of which."""

    texts: list[str]
    pairs: list[tuple[int, int]]


class Outcome(NamedTuple):
    """What a contestant did: medians, and the numbers of the kept texts (none where not said)."""

    busy: float
    wall: float
    kept: frozenset[int] | None


def plant_copies(texts: Sequence[str], rng: random.Random, language: str = "en") -> Planted:
    """Add an edited copy of every third text."""
    edit = _edit_signs if language in SCRIPTS else _edit
    copies = [(n, edit(text, rng)) for n, text in enumerate(texts) if n % 3 == 0]
    order = list(range(len(texts) + len(copies)))
    rng.shuffle(order)
    where = {old: new for new, old in enumerate(order)}
    every = [*texts, *(copy for _, copy in copies)]
    pairs = [(where[n], where[len(texts) + k]) for k, (n, _) in enumerate(copies)]
    return Planted([every[old] for old in order], pairs)


def _edit(text: str, rng: random.Random) -> str:
    """Words replaced, left out or put in."""
    words = text.split(" ")
    for _ in range(round(len(words) * rng.choice(_EDITED))):
        at = rng.randrange(len(words))
        words[at : at + rng.choice((0, 1, 1))] = rng.choice(([], ["other"], ["some"]))
    return " ".join(words)


def _edit_signs(text: str, rng: random.Random) -> str:
    """Signs replaced, left out or put in."""
    signs = list(text)
    for _ in range(round(len(signs) * rng.choice(_EDITED))):
        at = rng.randrange(len(signs))
        signs[at : at + rng.choice((0, 1, 1))] = rng.choice(([], [rng.choice(text)]))
    return "".join(signs)


def list_shingles(text: str, language: str = "en") -> list[str]:
    """5-grams of words, or of signs in a language without spaces, in Python."""
    text = text.lower()
    spaced = _SIGN.sub(r" \g<0> ", text) if language in SCRIPTS else text
    words, n = _WORD.findall(spaced), _RULES.ngram
    return [" ".join(words[at : at + n]) for at in range(max(1, len(words) - n + 1))]


class Truth:
    """Exact Jaccard similarities of the texts' sets of shingles."""

    def __init__(self, texts: Sequence[str], language: str = "en") -> None:
        self._sets = [frozenset(list_shingles(text, language)) for text in texts]
        self._holders: dict[str, list[int]] = defaultdict(list)
        for number, shingles in enumerate(self._sets):
            for shingle in shingles:
                self._holders[shingle].append(number)

    def similarity(self, a: int, b: int) -> float:
        """Of two texts."""
        shared = len(self._sets[a] & self._sets[b])
        return shared / (len(self._sets[a]) + len(self._sets[b]) - shared)

    def nearest(self, number: int) -> float:
        """Of a text and the other that is most like it."""
        shared = Counter(other for s in self._sets[number] for other in self._holders[s])
        del shared[number]
        return max((self.similarity(number, other) for other in shared), default=0.0)


def judge(outcome: Outcome, planted: Planted, truth: Truth) -> str:
    """Recall by similarity, and precision."""
    if outcome.kept is None:
        return "does not say which to keep"
    found: dict[str, list[bool]] = defaultdict(list)
    for a, b in planted.pairs:
        similarity = truth.similarity(a, b)
        if similarity >= _RULES.min_similarity:
            near = "0.95-1" if similarity >= 0.95 else "0.85-" if similarity >= 0.85 else "0.75-"
            for key in ("all", near):
                found[key].append(not {a, b} <= outcome.kept)
    recalls = [f"{key} {sum(f) / len(f):.1%} of {len(f)}" for key, f in sorted(found.items())]
    dropped = sorted(set(range(len(planted.texts))) - outcome.kept)
    right = [truth.nearest(number) >= _RULES.min_similarity for number in dropped]
    precision = f"precision {sum(right) / max(1, len(right)):.1%} of {len(right)}"
    return f"recall {', '.join(reversed(recalls))}; {precision}"


def dedup_ours(folder: Path) -> Iterator[int]:
    """The stage's own steps: sign each shard, find shared keys, decide in order; keeps numbers."""
    from k2core.clean.duplicates import Deduplicator
    from k2core.clean.signatures import SignedShards, sign_shard

    config, scratch = CleanConfig(), folder / "ours"
    (scratch / "kept").mkdir(parents=True)
    shards = _list_shards(folder)
    for path in shards:
        sign_shard(path, scratch / "signed", config)
    signed = SignedShards([scratch / "signed" / path.stem for path in shards])
    deduplicator = Deduplicator(config.deduplication, signed, scratch / "groups")
    for path, twins in zip(shards, deduplicator.find(), strict=True):
        frame = pl.read_parquet(path).with_row_index()
        left = frame.filter(~pl.col("index").is_in(list(twins)))
        left.write_parquet(scratch / "kept" / path.name)
        yield from (int(name, 16) for name in left["doc_id"])


def dedup_rensa(folder: Path) -> Iterator[int]:
    """Rensa's deduplicator: the first of the similar stays, as ours does."""
    from rensa import RMinHashDeduplicator

    num = _RULES.num_bands * _RULES.num_rows
    deduplicator = RMinHashDeduplicator(_RULES.min_similarity, num, True, _RULES.num_bands, 1)
    language = _read_language(folder)
    (folder / "rensa").mkdir()
    for path in _list_shards(folder):
        frame = pl.read_parquet(path)
        sets = (list_shingles(text, language) for text in frame["text"])
        rows = zip(frame["doc_id"], sets, strict=True)
        left = frame.filter(pl.Series(deduplicator.add_pairs(rows)))
        left.write_parquet(folder / "rensa" / path.name)
        yield from (int(name, 16) for name in left["doc_id"])


def flag_rensa(folder: Path) -> Iterator[int]:
    """Rensa's quickest way over whole sets: a matrix a shard, and which rows resemble any other."""
    from rensa import RMinHash, RMinHashLSH

    num = _RULES.num_bands * _RULES.num_rows
    index = RMinHashLSH(_RULES.min_similarity, num, _RULES.num_bands)
    language = _read_language(folder)
    for path in _list_shards(folder):
        sets = [list_shingles(text, language) for text in pl.read_parquet(path)["text"]]
        matrix = RMinHash.digest_matrix_from_token_sets(sets, num, 1)
        index.insert_matrix_and_query_duplicate_flags(matrix)
    yield from ()


OURS: dict[str, Callable[[Path], Iterator[int]]] = {
    "ours": dedup_ours,
    "rensa": dedup_rensa,
    "rensa-flags": flag_rensa,
}


def measure(
    count: int = 3000, rounds: int = 3, language: str = "en", pages: Path | None = None
) -> list[Row]:
    """Medians of all contestants, each in a fresh process, in turn."""
    unspaced = language in SCRIPTS
    texts = make_unspaced(count, language, pages) if unspaced else make_documents(count)
    planted = plant_copies(texts, random.Random(0), language)
    megabytes = sum(len(text.encode()) for text in planted.texts) / 1e6
    results: dict[str, list[Result]] = defaultdict(list)
    for _ in range(rounds):
        for name in (*OURS, "datatrove"):
            with tempfile.TemporaryDirectory() as folder:
                results[name].append(_run(name, planted.texts, Path(folder), language))
    truth = Truth(planted.texts, language)
    return [
        _row(name, [_read(found) for found in several], planted, truth, megabytes)
        for name, several in results.items()
    ]


def _run(name: str, texts: Sequence[str], folder: Path, language: str) -> Result:
    write_shards(texts, folder, language)
    result = folder / "result.json"
    if name in OURS:
        return run_ours("bench.dedup", f"--{name}", folder, result)
    settings = (_RULES.ngram, _RULES.num_bands, _RULES.num_rows, _PEERS_LANGUAGE[language])
    return run_peer(f"{name}_minhash.py", folder, result, *map(str, settings), result=result)


def write_shards(texts: Sequence[str], folder: Path, language: str = "en") -> None:
    """What contestants are given: `documents/*.parquet`, and which language it is."""
    (folder / "documents").mkdir()
    (folder / _LANGUAGE_FILE).write_text(language)
    for start in range(0, len(texts), _SHARD):
        part = texts[start : start + _SHARD]
        names = [f"{start + n:016x}" for n in range(len(part))]
        _write(folder / "documents" / f"{start // _SHARD:05d}.parquet", names, part)


def _read_language(folder: Path) -> str:
    return (folder / _LANGUAGE_FILE).read_text()


def _write(path: Path, names: Sequence[str], texts: Sequence[str]) -> None:
    """A shard as the stage's first pass leaves it, as far as the second looks at it."""
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    frame = pl.DataFrame({"doc_id": names, "digest": digests, "text": texts})
    whole = frame.with_columns(
        source=pl.lit("bench"),
        domain=pl.lit("web"),
        dropped=pl.lit(value=False),
        measures=pl.lit("{}"),
    )
    whole.write_parquet(path)


def _read(found: Result) -> Outcome:
    kept = frozenset(int(str(name), 16) for name in found["kept"])
    return Outcome(found["busy"], found["seconds"], kept or None)


def _row(
    name: str, outcomes: list[Outcome], planted: Planted, truth: Truth, megabytes: float
) -> Row:
    busy = statistics.median(outcome.busy for outcome in outcomes)
    wall = statistics.median(outcome.wall for outcome in outcomes)
    speed = f"{len(planted.texts) / busy:.0f} documents/s, {megabytes / busy:.1f} MB/s"
    return Row(name, busy, f"{speed}, wall {wall:.2f} s; {judge(outcomes[0], planted, truth)}")


def _list_shards(folder: Path) -> list[Path]:
    return sorted((folder / "documents").glob("*.parquet"))


def _time(work: Callable[[Path], Iterator[int]], folder: Path, result: Path) -> None:
    with tempfile.TemporaryDirectory() as other:
        warm = ["The first text loads what is needed."] * 2
        write_shards(warm, Path(other), _read_language(folder))
        list(work(Path(other)))
    started, busy = time.perf_counter(), time.process_time()
    kept = [f"{number:x}" for number in work(folder)]
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    result.write_text(json.dumps({"seconds": seconds, "busy": busy, "kept": kept}))


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, print, and end with the ratios of speeds."""
    if arguments and (name := arguments[0].removeprefix("--")) in OURS:
        _time(OURS[name], Path(arguments[1]), Path(arguments[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=3000)
    parser.add_argument("rounds", type=int, nargs="?", default=3)
    parser.add_argument("--language", choices=("en", *SCRIPTS), default="en")
    parser.add_argument("--html", type=Path)
    asked = parser.parse_args(arguments)
    rows = measure(asked.count, asked.rounds, asked.language, asked.html)
    print_table(f"Near-duplicates ({asked.language}), one core", rows)
    for row in rows:
        sys.stdout.write(f"{row.name}: {row.remark}\n")
    ratio = {row.name: row.seconds / rows[0].seconds for row in rows[1:]}
    rensa = min(ratio["rensa"], ratio["rensa-flags"])
    sys.stdout.write(f"dedup/rensa ratio={rensa:.2f}\n")
    sys.stdout.write(f"dedup/datatrove ratio={ratio['datatrove']:.1f}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
