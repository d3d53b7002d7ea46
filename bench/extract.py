"""Main text of real pages with known text: F1 against time, beside three extractors.

The pages are those of scrapinghub/article-extraction-benchmark (MIT), and so is the measure:
shingles of four tokens, precision and recall a page, F1 of their means.

    python -m bench.extract FOLDER [--fit] [--plot docs/plots/extraction.png]
"""

import argparse
import gzip
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from k2core.clean.blocks import Block

_TOKEN = re.compile(r"\w+")
_FOLDS = 4
_STRENGTH = 0.003
Extractor = Callable[[str], str]


class Page(NamedTuple):
    """A page and its text, by hand."""

    html: str
    text: str


class Score(NamedTuple):
    """Of one extractor on all pages."""

    name: str
    f1: float
    precision: float
    recall: float
    ms: float
    """A page, processor time."""


def read_pages(folder: Path) -> dict[str, Page]:
    """`ground-truth.json` and `html/ID.html.gz`."""
    truth = json.loads((folder / "ground-truth.json").read_text())
    return {
        name: Page(
            gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes()).decode(
                "utf-8", "replace"
            ),
            about["articleBody"],
        )
        for name, about in truth.items()
    }


def shingle(text: str) -> Counter[tuple[str, ...]]:
    """Runs of four tokens; a shorter text is one."""
    tokens = _TOKEN.findall(text)
    runs = Counter(tuple(tokens[at : at + 4]) for at in range(len(tokens) - 3))
    return runs or Counter([tuple(tokens)] if tokens else [])


def compare(truth: str, found: str) -> tuple[float, float]:
    """A page's precision and recall."""
    wanted, given = shingle(truth), shingle(found)
    right = (wanted & given).total()
    precision = right / given.total() if given else float(not wanted or right > 0)
    recall = right / wanted.total() if wanted else 1.0
    return (1.0, recall) if not given else (precision, recall)


def score(name: str, texts: Mapping[str, str], pages: Mapping[str, Page], ms: float) -> Score:
    """Means over pages, and F1 of them."""
    pairs = [compare(page.text, texts[key]) for key, page in pages.items()]
    precision, recall = (statistics.fmean(pair[part] for pair in pairs) for part in (0, 1))
    return Score(name, 2 * precision * recall / (precision + recall), precision, recall, ms)


def run(name: str, extract: Extractor, pages: Mapping[str, Page]) -> Score:
    """One extractor; the best of two times."""
    times = []
    for _ in range(2):
        start = time.process_time()
        texts = {key: extract(page.html) for key, page in pages.items()}
        times.append((time.process_time() - start) / len(pages) * 1000)
    return score(name, texts, pages, min(times))


def label(blocks: Sequence[Block], truth: str) -> list[bool]:
    """Which blocks are of the text: those of which more than half of the runs are in it."""
    wanted = set(shingle(truth))
    plain = " ".join(_TOKEN.findall(truth))
    shares = []
    for block in blocks:
        tokens = _TOKEN.findall(block.text)
        runs = set(shingle(block.text))
        shares.append(len(runs & wanted) / len(runs) if len(tokens) > 3 else -1.0)
    known = [at for at, share in enumerate(shares) if share >= 0]
    for at, share in enumerate(shares):
        if share < 0:  # too short to tell: of the text if it stands in it and between its blocks
            earlier = next((shares[k] for k in reversed(known) if k < at), 0)
            later = next((shares[k] for k in known if k > at), 0)
            inside = " ".join(_TOKEN.findall(blocks[at].text)) in plain
            shares[at] = float(min(earlier, later) > 0.5 and inside)
    return [share > 0.5 for share in shares]


def fit(pages: Sequence[Page]) -> tuple[list[float], float]:
    """Weights and bias of the regression, for features as they are."""
    from sklearn.linear_model import LogisticRegression

    from k2core.clean.extract import find_blocks
    from k2core.clean.main_text import measure_blocks

    features, labels, weights = [], [], []
    for page in pages:
        if blocks := find_blocks(page.html):
            sizes = np.array([len(_TOKEN.findall(block.text)) + 2.0 for block in blocks]) ** 0.7
            features.append(measure_blocks(blocks))
            labels.append(label(blocks, page.text))
            weights.append(100 * sizes / sizes.sum())
    x, y, w = np.vstack(features), np.concatenate(labels), np.concatenate(weights)
    mean, spread = x.mean(0), x.std(0) + 1e-9
    model = LogisticRegression(C=_STRENGTH, max_iter=500).fit((x - mean) / spread, y, w)
    scaled = model.coef_[0] / spread
    return [round(float(v), 6) for v in scaled], float(model.intercept_[0] - scaled @ mean)


def cross_validate(pages: Mapping[str, Page]) -> Score:
    """Each page by a regression that has not seen it."""
    from k2core.clean import main_text
    from k2core.clean.extract import extract_text

    keys = sorted(pages)
    texts: dict[str, str] = {}
    original = main_text.load_model
    for fold in range(_FOLDS):
        weights, bias = fit([pages[key] for at, key in enumerate(keys) if at % _FOLDS != fold])
        model = main_text.Model(np.array(weights), bias)
        main_text.load_model = lambda model=model: model  # type: ignore[assignment]
        texts |= {key: extract_text(pages[key].html) for key in keys[fold::_FOLDS]}
    main_text.load_model = original
    return score("this project, cross-validated", texts, pages, 0.0)


def list_extractors() -> dict[str, Extractor]:
    """This project's and its peers."""
    import trafilatura
    from resiliparse.extract.html2text import extract_plain_text

    from k2core.clean.extract import extract_text

    return {
        "this project": extract_text,
        "resiliparse, main content": lambda html: extract_plain_text(html, main_content=True),
        "trafilatura, precision": lambda html: (
            trafilatura.extract(html, favor_precision=True, include_comments=False) or ""
        ),
        "trafilatura, fast": lambda html: trafilatura.extract(html, fast=True) or "",
    }


def draw(scores: Sequence[Score], path: Path) -> None:
    """F1 against time."""
    from matplotlib.figure import Figure

    figure = Figure((6, 4), layout="tight")
    axes = figure.subplots()
    for each in scores:
        axes.plot(each.ms, each.f1, "o")
        axes.annotate(each.name, (each.ms, each.f1), textcoords="offset points", xytext=(6, -10))
    axes.set(xscale="log", xlabel="milliseconds a page", ylabel="F1", ylim=(0.85, 1.0))
    axes.set_xlim(1, 200)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Fit if asked to, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    pages = read_pages(asked.folder)
    if asked.fit:
        from k2core.clean.main_text import WEIGHTS, load_model

        weights, bias = fit(list(pages.values()))
        WEIGHTS.write_text(json.dumps({"bias": round(bias, 6), "weights": weights}) + "\n")
        load_model.cache_clear()
    scores = [run(name, extract, pages) for name, extract in list_extractors().items()]
    for each in (*scores, cross_validate(pages)):
        print(
            f"{each.name:30} F1 {each.f1:.3f}  precision {each.precision:.3f}  "
            f"recall {each.recall:.3f}  {each.ms:5.1f} ms a page"
        )
    if asked.plot:
        draw(scores, asked.plot)


if __name__ == "__main__":
    main()
