"""Real texts for benches of cleaning: encyclopedia extracts, documentation pages and docstrings."""

import ast
import random
import re
import sys
import sysconfig
from itertools import accumulate
from pathlib import Path


def make_documents(count: int) -> list[str]:
    """Texts of 200 to 60,000 characters, some of them with faults that rules look for."""
    from k2core.clean.extract import extract_text
    from k2core.clean.form import normalise
    from k2core.ingest.files import list_pages
    from k2core.ingest.knowledge import list_articles
    from schemas.ingest import IngestConfig

    rng = random.Random(0)
    config = IngestConfig()
    articles = [item.read() for item in list_articles(config)]
    pages = [extract_text(item.read()) for item in rng.sample(list_pages(config), 150)]
    documented = [
        text for name in sorted(sys.stdlib_module_names) if (text := read_docstrings(name))
    ]
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


def read_docstrings(module: str) -> str:
    """A module of the standard library in its own words; empty if it has none."""
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


SCRIPTS = {"zh": (0x4E00, 3000, "。"), "th": (0x0E01, 46, " ")}
"""Languages without spaces between words: first sign, number of signs, end of a sentence."""


def make_unspaced(count: int, language: str, pages: Path | None = None) -> list[str]:
    """Texts of some 1,000 to 6,000 signs, whose sentences are dealt anew for each.

    Args:
        count: how many.
        language: of `SCRIPTS`.
        pages: a folder of HTML pages whose sentences are taken; else words and sentences are drawn,
            common ones oftener (1 / rank), which mean nothing.
    """
    rng = random.Random(0)
    sentences = _read_sentences(pages) if pages else _draw_sentences(rng, language)
    texts = []
    for _ in range(count):
        parts = rng.sample(sentences, rng.randint(30, 180))
        lines = (parts[at : at + 6] for at in range(0, len(parts), 6))
        texts.append("\n".join("".join(line) for line in lines))
    return texts


def _draw_sentences(rng: random.Random, language: str) -> list[str]:
    first, num_signs, end = SCRIPTS[language]
    signs = [chr(first + n) for n in range(num_signs)]

    def draw(of: list[str], often: list[float], fewest: int, most: int) -> str:
        return "".join(rng.choices(of, cum_weights=often, k=rng.randint(fewest, most)))

    often = list(accumulate(1 / (n + 8) for n in range(5000)))
    words = [draw(signs, often[:num_signs], 1, 3) for _ in range(5000)]
    return [draw(words, often, 8, 26) + end for _ in range(20_000)]


def _read_sentences(pages: Path) -> list[str]:
    """Sentences of 15 signs and more that hold no Latin letter, each once."""
    from k2core.clean.extract import extract_text

    found = {
        f"{each}。"
        for path in sorted(pages.rglob("*.html"))
        for each in re.split(r"[。\n]", extract_text(path.read_text("utf-8", "replace")))
        if len(each) >= 15 and not re.search("[A-Za-z]", each)
    }
    return sorted(found)
