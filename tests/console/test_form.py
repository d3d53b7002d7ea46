"""The launch form of every task, in a browser, by the form library that Flyte's forms are for."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TypedDict

import pytest
from google.protobuf.json_format import MessageToDict

from schemas.recipe import STAGES
from tests.console.conftest import Console
from tests.forms import given
from workflows.console import DEPLOYED, ENTRIES
from workflows.recipes import RECIPES
from workflows.stages import TASKS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

HERE = Path(__file__).parent / "form"
SEED = 7
Question = dict[str, object]


class Answer(TypedDict):
    """What a form said."""

    fields: int
    helps: int
    unsupported: int
    submitted: dict[str, dict[str, object]] | None
    errors: list[str]


def schema_of(kind: dict[str, object]) -> object:
    """An input's part of a form, as Flyte's backend makes it of a literal type."""
    if "metadata" in kind:
        return kind["metadata"]
    if "collectionType" in kind:
        return {"type": "array", "items": schema_of(kind["collectionType"])}  # type: ignore[arg-type]
    if "unionType" in kind:
        variants: list[dict[str, object]] = kind["unionType"]["variants"]  # type: ignore[index]
        return {"anyOf": [schema_of(variant) for variant in variants]}
    return {"type": {"STRING": "string", "NONE": "null"}[str(kind["simple"])]}


def ask(console: Console, task: str) -> Question:
    """The form of a task as it was deployed."""
    interface = console.plane.registry.spec(task).task_template.interface
    parts = {v.key: schema_of(MessageToDict(v.value.type)) for v in interface.inputs.variables}
    return {"schema": {"type": "object", "properties": parts}}


@pytest.fixture(scope="module")
def answers(console: Console, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """Of every task's form untouched, and of every recipe's with one field changed."""
    missing = [tool for tool in ("chromium", "npm") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)} here (apt-get install {' '.join(missing)})")
    folder = tmp_path_factory.mktemp("form")
    for name in ("package.json", "package-lock.json", "form.jsx"):
        shutil.copy(HERE / name, folder)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True)
    options = (
        "--bundle",
        "--jsx=automatic",
        "--outfile=form.js",
        "--minify",
        "--legal-comments=none",
    )
    constant = '--define:process.env.NODE_ENV="production"'
    subprocess.run(
        ["node_modules/.bin/esbuild", "form.jsx", *options, constant], cwd=folder, check=True
    )
    questions = {task.name: ask(console, task.name) for task in (*DEPLOYED, *TASKS.values())}
    for name in RECIPES:
        field = {"field": "root_recipe_pretrain_seed", "value": str(SEED)}
        questions[f"{name} changed"] = questions[f"k2.{name}"] | field
    stated = json.dumps(questions).replace("</", "<\\/")
    page = folder / "page.html"
    page.write_text(
        "<!doctype html><meta charset=utf-8><body>"
        f"<script>window.QUESTIONS={stated}</script><script src=form.js></script>"
    )
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    shown = subprocess.run(
        [*browser, "--virtual-time-budget=600000", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r'<pre id="answers">(.*?)</pre>', shown, re.DOTALL)
    assert found is not None, shown[-2000:]
    said = json.loads(html.unescape(found[1]))
    assert said["faults"] == []
    read: dict[str, Answer] = said["answers"]
    assert read.keys() == questions.keys()
    return read


def test_every_form_is_rendered_whole(answers: dict[str, Answer]) -> None:
    for name, answer in answers.items():
        assert answer["unsupported"] == 0, name
        assert answer["fields"] >= 1, name
    assert all(answers[f"k2.{name}"]["fields"] > 300 for name in RECIPES)
    assert all(answers[f"k2.{name}"]["helps"] > 300 for name in RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_an_untouched_form_launches_the_recipe(name: str, answers: dict[str, Answer]) -> None:
    answer, recipe = answers[f"k2.{name}"], RECIPES[name]()
    assert answer["errors"] == []
    assert answer["submitted"] is not None
    launched = given(ENTRIES[name], "recipe", answer["submitted"]["recipe"])
    assert launched.model_dump() == recipe.model_dump()


@pytest.mark.parametrize("name", RECIPES)
def test_a_changed_field_changes_that_field(name: str, answers: dict[str, Answer]) -> None:
    answer, recipe = answers[f"{name} changed"], RECIPES[name]()
    assert answer["submitted"] is not None
    launched = given(ENTRIES[name], "recipe", answer["submitted"]["recipe"])
    pretrain = recipe.pretrain.model_copy(update={"seed": SEED})
    assert recipe.pretrain.seed != SEED
    assert launched.model_dump() == recipe.model_copy(update={"pretrain": pretrain}).model_dump()


@pytest.mark.parametrize("stage", STAGES)
def test_an_untouched_stage_is_tinys(stage: str, answers: dict[str, Answer]) -> None:
    answer = answers[f"k2.{stage}"]
    assert answer["errors"] == []
    assert answer["submitted"] is not None
    for name, (kind, default) in ENTRIES[stage].native_interface.inputs.items():
        if kind is not str:
            assert given(ENTRIES[stage], name, answer["submitted"][name]) == default
