"""`k2 data`: a person's files through real stages, told in numbers, as a page and as a folder."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from schemas.artifacts import TokenCorpus
from schemas.pretrain import PretrainConfig
from schemas.recipe import Recipe
from tasks.store import open_store
from tests.k2core.clean.corpora import prose
from workflows.cli import app
from workflows.cli_data import state_languages, state_sources
from workflows.corpus import fit_steps
from workflows.errors import MendableError
from workflows.runs import list_pipelines

GERMAN = "Dies ist ein längerer deutscher Satz über die Musik der Berge. " * 9


@pytest.fixture(scope="module", autouse=True)
def _place(home: Path) -> Iterator[None]:
    open_store.cache_clear()
    before = Path.cwd()
    yield
    os.chdir(before)
    open_store.cache_clear()


@pytest.fixture(scope="module")
def texts(home: Path) -> Path:
    folder = home / "texts"
    (folder / "notes").mkdir(parents=True)
    for number in range(30):
        (folder / "notes" / f"{number}.md").write_text(f"# Note\n\n{prose(number)}\n")
    (folder / "notes" / "copy.md").write_text(f"# Note\n\n{prose(3)}\n")
    (folder / "notes" / "german.txt").write_text(GERMAN)
    (folder / "notes" / "empty.txt").write_text("")
    rows = [{"id": f"p{n}", "url": f"https://a.test/{n}", "text": prose(50 + n)} for n in range(9)]
    lines = [*map(json.dumps, rows), "{broken"]
    (folder / "posts.jsonl").write_text("\n".join(lines))
    return folder


def run(*arguments: str | Path) -> str:
    shown = CliRunner().invoke(app, list(map(str, arguments)))
    assert shown.exit_code == 0, (shown.exception, shown.stderr)
    return shown.stdout


def test_a_folder_becomes_a_corpus_that_answers_for_every_file(texts: Path) -> None:
    os.chdir(texts)  # anywhere
    made = run("data", "notes", "posts=posts.jsonl", "--license", "MIT", "--out", "../c", "--json")
    report = json.loads(made)
    assert [(row["name"], row["domain"], row["documents"]) for row in report["sources"]] == [
        ("notes", "web", 32),
        ("posts", "posts", 9),
    ]
    assert (report["documents"], report["kept"]) == (41, 39)
    assert [(row["rule"], row["reason"], row["documents"]) for row in report["dropped"]] == [
        ("language", "not_en", 1),
        ("deduplication", "exact_duplicate", 1),
    ]
    assert report["dropped"][0]["examples"][0]["path"] == "german.txt"
    assert {row["reason"] for row in report["unread"]} == {"no JSON", "the file is empty"}
    assert 0 < report["kept_tokens"] < report["tokens"]
    out = texts.parent / "c"
    rows = pl.read_parquet(out / "data" / "*.parquet")
    assert len(rows) == 39
    assert rows.filter(url="https://a.test/4")["text"].to_list() == [prose(54)]
    dropped = pl.read_parquet(out / "dropped" / "*.parquet")
    assert dropped["path"].to_list() == ["copy.md", "german.txt"]
    card = (out / "README.md").read_text().split("---")[1]
    assert yaml.safe_load(card)["configs"][0]["data_files"] == "data/*.parquet"
    assert "german.txt" in (out / "report.html").read_text()
    told = {
        "notes/german.txt": "dropped by language",
        str(texts / "notes" / "copy.md"): "it repeats",
        "notes/empty.txt": "lost, empty.txt: the file is empty",
        "https://a.test/4": "posts.jsonl#https://a.test/4 of posts",
        "p4": "kept",
        "posts.jsonl#line 10": "no JSON",
        "notes": "32 documents, 30 kept and 2 dropped",
        "notes/new.md": "had no such file when it was read",
    }
    for wanted, words in told.items():
        os.chdir(texts)
        assert words in run("why", wanted), wanted


def test_what_changed_is_read_anew_and_the_rest_is_cached(texts: Path) -> None:
    os.chdir(texts)
    (texts / "notes" / "new.md").write_text(f"# Note\n\n{prose(77)}\n")
    report = json.loads(run("data", texts / "notes", "--json"))
    assert report["kept"] == 31
    again = json.loads(run("data", texts / "notes", "--json"))
    assert again["artifacts"] == report["artifacts"]
    assert again["run"] != report["run"]


def test_the_written_recipe_asks_for_what_was_done(texts: Path) -> None:
    out = texts.parent / "again"
    asked = ("--vocab-size", "768", "--tokenize", "--out", out, "--json")
    made = json.loads(run("data", texts / "notes", *asked))
    assert (out / "tokenizer" / "tokenizer.json").is_file()
    assert 0 < steps_of(out / "recipe.yaml") < PretrainConfig().schedule.num_steps
    (out.parent / "again.yaml").write_text((out / "recipe.yaml").read_text())
    again = json.loads(run("data", "--recipe", out.parent / "again.yaml", "--tokenize", "--json"))
    assert again["artifacts"] == made["artifacts"]
    assert again["run"] != made["run"]
    assert {row.run: row.cached for row in list_pipelines()}[again["run"]] == 3


def steps_of(recipe: Path) -> int:
    return int(yaml.safe_load(recipe.read_text())["pretrain"]["schedule"]["num_steps"])


def test_what_is_wrong_is_said_in_a_line(texts: Path) -> None:
    for arguments, words in {
        (): "name at least one folder",
        ("x", "--language", "xx"): "nobody tells texts in 'xx'; there are af, als, am",
        ("x", "--language", ","): "--language ,: it names none",
        ("x", "--license", ""): "x: license: String should have at least 1 character",
        ("",): "'' names no place",
        ("mails=",): "'mails=' names no place",
        ("foo://x",): "foo://x: it cannot be listed (Protocol not known: foo)",
        ("nowhere",): "nowhere: there is no such folder",
        (str(texts / "notes" / "german.txt"),): "no document is left (not_en: 1): relax",
        ("My Mails=x",): "String should match pattern",
    }.items():
        shown = CliRunner().invoke(app, ["data", *arguments])
        assert shown.exit_code == 2, shown.exception
        assert shown.stderr.splitlines()[-1].startswith("error: ")
        assert words in shown.stderr


def test_sources_are_named_apart_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()
    given = [
        "x/notes",
        "y/notes",
        "mails=z.mbox",
        "a=b",
        "hf://datasets/o/n",
        "https://a.test/?q=1",
    ]
    found = state_sources(given, "web", "MIT", "*", "text")
    assert [(each.name, each.domain, each.folder) for each in found] == [
        ("notes", "web", str(tmp_path / "x" / "notes")),
        ("notes-2", "web", str(tmp_path / "y" / "notes")),
        ("z", "mails", str(tmp_path / "z.mbox")),
        ("a_b", "web", str(tmp_path / "a=b")),
        ("n", "web", "hf://datasets/o/n"),
        ("q_1", "web", "https://a.test/?q=1"),
    ]
    with pytest.raises(MendableError, match="String should match"):
        state_sources(["A B=x"], "web", "MIT", "*", "text")


def test_languages_are_stated_whatever_stands_between() -> None:
    assert state_languages("fr") == "['fr']"
    assert state_languages(" EN,,no ,") == "['en', 'no']"


def test_steps_are_as_many_as_the_tokens_give() -> None:
    recipe = Recipe(pretrain=PretrainConfig(sequence_length=64, batch_size=4))
    asked, ends = recipe.pretrain.schedule.num_steps, 64 * len(recipe.ingest.domains)
    for tokens, steps in ((64 * 4 * 7 + ends, 7), (10**9, asked), (3, 1)):
        corpus = TokenCorpus(digest="sha256:" + "a" * 64, counts={"train_tokens": tokens})
        assert fit_steps(recipe, corpus).pretrain.schedule.num_steps == steps
