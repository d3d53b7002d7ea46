"""A corpus as a folder for others: parquet, a data card, and a recipe to go on with."""

import json
import shutil
import tempfile
from pathlib import Path

import polars as pl
import yaml

from schemas.recipe import Recipe
from workflows.corpus import fit_steps
from workflows.corpus_report import CorpusReport
from workflows.errors import MendableError
from workflows.provenance import Corpora, list_corpora

_MARK = "corpus.json"
"""The file by which a folder that was written here is known."""
_HEAD = "# `k2 run --recipe FILE` runs it; `k2 schema --template` lists all that may stand here.\n"
_ORIGIN = ["doc_id", "url", "date", "language"]


def check_out(out: Path) -> None:
    """Refuse a folder that holds what was not written here.

    Raises:
        MendableError: it is one.
    """
    if out.exists() and not (out.is_dir() and ((out / _MARK).exists() or not any(out.iterdir()))):
        raise MendableError(f"--out {out}: it holds other things; name a new folder")


def write_corpus(report: CorpusReport, recipe: Recipe, page: Path, out: Path) -> None:
    """Write the folder aside, then put it in place of an earlier one.

    Raises:
        MendableError: the folder is not free.
    """
    check_out(out)
    corpora = list_corpora(report.run)[0]
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        aside.chmod(0o755)
        _write_tables(corpora, aside)
        if tokens := corpora.artifacts.get("token_corpus"):
            tokenizer = corpora.folder("token_corpus") / "tokenizer"
            shutil.copytree(tokenizer, aside / "tokenizer")
            recipe = fit_steps(recipe, tokens)
        shutil.copyfile(page, aside / "report.html")
        (aside / "recipe.yaml").write_text(_recipe_text(recipe))
        (aside / "README.md").write_text(_card(report))
        (aside / _MARK).write_text(report.as_json() + "\n")
        if out.exists():
            shutil.rmtree(out)
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_tables(corpora: Corpora, out: Path) -> None:
    clean, raw = corpora.folder("clean_corpus"), corpora.folder("raw_corpus")
    found = list((raw / "origins").glob("*.parquet"))
    origins = pl.scan_parquet(found).select(_ORIGIN) if found else None
    for kind, name in (("kept", "data"), ("rejects", "dropped")):
        for shard in sorted((clean / kind).glob("*.parquet")):
            rows = pl.scan_parquet(shard)
            if origins is not None:
                rows = rows.join(origins, on="doc_id", how="left", maintain_order="left")
            (out / name).mkdir(exist_ok=True)
            rows.collect().write_parquet(out / name / shard.name)


def _recipe_text(recipe: Recipe) -> str:
    """What the recipe changes of the defaults, for `k2 run --recipe`."""
    changed = recipe.model_dump(mode="json", exclude_defaults=True)
    for files in changed["ingest"]["files"]:
        files.pop("state", None)
    return _HEAD + yaml.safe_dump(changed, sort_keys=False, allow_unicode=True)


def _card(report: CorpusReport) -> str:
    licenses = sorted({row.license for row in report.sources})
    about = {
        "license": "other",
        "license_name": " and ".join(licenses),
        "task_categories": ["text-generation"],
        "configs": [{"config_name": "default", "data_files": "data/*.parquet"}],
    }
    sources = "\n".join(
        f"| {row.name} | {row.domain} | {row.license} | {row.documents:,} | {row.kept:,} |"
        for row in report.sources
    )
    dropped = "\n".join(
        f"| {row.domain} | {row.rule}: {row.reason} | {row.documents:,} |" for row in report.dropped
    )
    return f"""---
{yaml.safe_dump(about, sort_keys=False, allow_unicode=True)}---
# Corpus {report.run}

{report.kept:,} of {report.documents:,} documents were kept. Columns: `text`, where it is from
(`source`, `path`, `url`, `date`), its `domain`, `license` and `language` as its source states them.

| source | domain | licence | documents | kept |
|---|---|---|---|---|
{sources}

## What was dropped, and why

The documents themselves, each with its measure and threshold, are in `dropped/*.parquet`.

| domain | rule | documents |
|---|---|---|
{dropped}

Personal data replaced in kept documents: {json.dumps(report.redacted)}.
"""
