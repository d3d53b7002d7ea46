"""Real texts for benches of cleaning: encyclopedia extracts, documentation pages and docstrings."""

import ast
import random
import sys
import sysconfig
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
