"""Cleaning rules on one core: ours, a batch at a time, against datatrove's filters.

Gopher's repetition and quality, C4, FineWeb and PII, with the papers' thresholds on both sides, on
Wikipedia extracts, pages of the Python documentation and the standard library's docstrings, joined
to the lengths of web pages. datatrove and its tokeniser live in `.venv-bench`, made on first use.

    python -m bench.clean [NUM_DOCUMENTS]
"""

import ast
import json
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from bench.table import Row, print_table

ROOT = Path(__file__).parent.parent
_VENV = ROOT / ".venv-bench"
_PEER = ("datatrove==0.10.1", "spacy==3.8.18", "nltk==3.10.4", "tldextract", "regex", "loguru")
_ONE_CORE = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}
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


def make_documents(count: int) -> list[str]:
    """Texts of 200 to 60,000 characters, some of them with faults that rules look for."""
    from k2core.clean.extract import extract_text, normalise
    from k2core.ingest.files import list_pages
    from k2core.ingest.knowledge import list_articles
    from schemas.ingest import IngestConfig

    rng = random.Random(0)
    config = IngestConfig()
    articles = [item.read() for item in list_articles(config)]
    pages = [extract_text(item.read()) for item in rng.sample(list_pages(config), 150)]
    documented = [text for name in sorted(sys.stdlib_module_names) if (text := _document(name))]
    texts = []
    for _ in range(count):
        kind = rng.random()
        if kind < 0.7:
            parts = rng.sample(articles, rng.choice((1, 1, 2, 4, 8, 16)))
        elif kind < 0.85:
            page = rng.choice(pages)
            start = rng.randrange(max(1, len(page) - 2000))
            parts = [page[start : start + rng.randint(1000, 20_000)]]
        else:
            parts = [rng.choice(documented)[:20_000]]
        if rng.random() < 0.15:
            parts += [rng.choice(parts)[:600]] * rng.randint(1, 4)
        if rng.random() < 0.05:
            parts.append("Mail jane.doe@firm.org from 8.8.8.8. This site uses cookies.")
        texts.append(normalise("\n\n".join(parts)))
    return texts


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


def _document(module: str) -> str:
    if module in {"antigravity", "this", "idlelib"} or module.startswith("_"):
        return ""
    folder = Path(sysconfig.get_path("stdlib"))
    places = (folder / f"{module}.py", folder / module / "__init__.py")
    path = next(filter(Path.is_file, places), None)
    if path is None:
        return ""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = ast.Module | ast.FunctionDef | ast.ClassDef
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return "\n\n".join(text for node in nodes if (text := ast.get_docstring(node)))


def _run_ours(documents: Path) -> Outcome:
    """In a fresh process: nothing is warm, as datatrove's is not."""
    program = (sys.executable, "-m", "bench.clean", "--ours", str(documents))
    return _run((*program, str(documents.with_name("ours.json"))), documents.with_name("ours.json"))


def _run_peer(documents: Path, *words: Path) -> Outcome:
    result = documents.with_name("peer.json")
    script = ROOT / "bench" / "peers" / "datatrove_clean.py"
    program = (str(_peer_python()), str(script), str(documents), str(result), *map(str, words))
    return _run(program, result)


def _run(program: tuple[str, ...], result: Path) -> Outcome:
    core = str(max(os.sched_getaffinity(0)))
    environment = {**os.environ, **_ONE_CORE, "PYTHONPATH": str(ROOT)}
    subprocess.run(("taskset", "-c", core, *program), check=True, env=environment, cwd=ROOT)
    found = json.loads(result.read_text())
    return Outcome(found["seconds"], found["reasons"])


def _peer_python() -> Path:
    python = _VENV / "bin" / "python"
    if not (_VENV / "installed").exists():
        subprocess.run((sys.executable, "-m", "venv", str(_VENV)), check=True)
        subprocess.run((str(python), "-m", "pip", "install", "-q", *_PEER), check=True)
        (_VENV / "installed").touch()
    return python


def _time_ours(documents: Path, result: Path) -> None:
    texts = json.loads(documents.read_text())
    judge_ours(["The first text loads what the rules need. " * 20])
    started = time.perf_counter()
    reasons = judge_ours(texts)
    found: dict[str, Any] = {"seconds": time.perf_counter() - started, "reasons": reasons}
    result.write_text(json.dumps(found))


def main(arguments: list[str]) -> None:
    """Measure, print, and end with the ratio of speeds."""
    if arguments[:1] == ["--ours"]:
        _time_ours(Path(arguments[1]), Path(arguments[2]))
        return
    rows = measure(*map(int, arguments))
    print_table("Cleaning rules, one core", rows)
    sys.stdout.write(f"clean ratio={rows[1].seconds / rows[0].seconds:.1f}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
