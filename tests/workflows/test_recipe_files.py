"""Recipes of one's own: what a file says is taken, what is wrong is named with its line."""

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from workflows.cli import app
from workflows.errors import BadRecipeError
from workflows.recipe_files import load_recipe
from workflows.recipe_template import recipe_template
from workflows.recipes import RECIPES, smoke


def test_a_file_changes_what_it_says_and_names_files_from_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("""
base: smoke
ingest:
  files:
    - {folder: texts, license: MIT, domain: mails}
    - {folder: hf://datasets/o/n, license: MIT, name: far}
clean:
  domains: {mails: knowledge}
  web: {quality: {min_words: 9}}
tokenize:
  mixture: {mails: 0.9, math: 0.1}
""")
    found = load_recipe(str(path), ["rl.num_iterations=7"])
    assert found.name == "mine"
    assert [f.folder for f in found.ingest.files] == [str(tmp_path / "texts"), "hf://datasets/o/n"]
    assert found.ingest.num_math == smoke().ingest.num_math
    assert found.tokenize.mixture == {"mails": 0.9, "math": 0.1}
    assert found.clean.web.quality is not None
    assert found.clean.web.quality.min_words == 9
    assert found.clean.web.repetition == smoke().clean.web.repetition
    assert found.rl.num_iterations == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clean:\n  langauge: de\n", "line 2: clean.langauge: .*did you mean 'languages'"),
        ("claen: {}\n", "line 1: claen: .*did you mean 'clean'"),
        (
            "ingest:\n  files:\n    - license: MIT\n      foldr: x\n",
            r"line 4: ingest\.files\.0\.foldr: .*did you mean 'folder'",
        ),
        ("ingest:\n  files: [{license: MIT}]\n", r"line 2: ingest\.files\.0\.folder: Field requ"),
        ("\nrl:\n  num_iterations: many\n", r"line 3: rl\.num_iterations: .*integer.*got 'many'"),
        ("clean:\n  web:\n    quality:\n      min_words: -1\n", "line 4: .*greater than or equal"),
        ("clean: {}\nclean: {}\n", "line 2: 'clean' stands twice"),
        ("clean: [\n", "line 2: "),
        ("- a\n", "sections are wanted"),
        ("", "it says nothing; `k2 schema --template`"),
        ("base: tny\n", "line 1: base: no recipe 'tny'; did you mean 'tiny'"),
        ("tokenize:\n  mixture: {poems: 1}\n", "a share for 'poems', and ingest collects code"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(BadRecipeError) as error:
        load_recipe(str(path), [])
    assert str(path) in str(error.value) or "poems" in text
    assert re.search(said, str(error.value)), str(error.value)


def test_a_function_of_a_file_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from schemas.recipe import Recipe\n"
        "def small(): return Recipe(name='mine')\ndef wrong(): return 1\n"
    )
    assert load_recipe(f"{path}:small", []).name == "mine"
    for name, said in {
        f"{path}:none": "has no function 'none'",
        f"{path}:wrong": "returns no Recipe, but int",
        f"{tmp_path}/none.py:f": "there is no such file",
        f"{tmp_path}/none.yaml": "cannot be read",
        "tniy": "no recipe 'tniy'; there are tiny, smoke",
    }.items():
        with pytest.raises(BadRecipeError, match=re.escape(said)):
            load_recipe(name, [])


@pytest.mark.parametrize("name", RECIPES)
def test_a_template_is_the_recipe_itself(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(recipe_template(RECIPES[name]()))
    assert load_recipe(str(path), []) == RECIPES[name]()


def test_the_schema_describes_every_field_of_the_file() -> None:
    whole = json.loads(CliRunner().invoke(app, ["schema"]).stdout)
    assert whole["properties"]["base"]["enum"] == list(RECIPES)
    part = json.loads(CliRunner().invoke(app, ["schema", "clean.web"]).stdout)
    assert part["properties"]["quality"]["description"]
    shown = CliRunner().invoke(app, ["schema", "pretrain.optim", "--template"]).stdout
    assert yaml.safe_load(shown)["pretrain"]["optim"]["lr"] == 5e-3
    missing = CliRunner().invoke(app, ["schema", "claen"])
    assert missing.exit_code == 2
    assert "did you mean 'clean'?" in missing.stderr
