"""What a stage lacks says its name."""

import shutil
from pathlib import Path

import pytest
from grimp import ImportGraph

from infra.home import ROOT
from infra.stages import name_faults
from schemas.recipe import STAGES
from tests.contracts import StagesContract


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The house's stages, without their work."""
    for room in ("schemas", "tasks", "k2core", "workflows", "tests/k2core"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    ("gone", "fault"),
    [
        ("schemas/clean.py", "stage clean has no schemas/clean.py"),
        ("tasks/rl.py", "stage rl has no tasks/rl.py"),
        ("k2core/sft", "stage sft has no k2core/sft/__init__.py"),
        ("tests/k2core/ingest", "stage ingest has no tests/k2core/ingest/test_*.py"),
    ],
)
def test_what_is_missing_is_named(tree: Path, gone: str, fault: str) -> None:
    path = tree / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert name_faults(tree) == [fault]


@pytest.mark.parametrize(
    ("path", "old", "new", "fault"),
    [
        ("tasks/rl.py", "def rl(", "def learn(", "tasks/rl.py has no rl: stage rl lacks it"),
        ("tasks/rl.py", "VERSION =", "V =", "tasks/rl.py has no VERSION: stage rl lacks it"),
        ("schemas/rl.py", "class RlConfig", "class Rl", "schemas/rl.py has no RlConfig: stage rl"),
    ],
)
def test_a_word_that_is_missing_is_named(
    tree: Path, path: str, old: str, new: str, fault: str
) -> None:
    text = (tree / path).read_text()
    assert old in text
    (tree / path).write_text(text.replace(old, new))
    (found,) = name_faults(tree)
    assert found.startswith(fault)


def test_a_task_without_a_section_of_the_recipe_is_named(tree: Path) -> None:
    (tree / "tasks" / "polish.py").write_text('VERSION = "1"\n')
    assert name_faults(tree) == [
        "tasks/polish.py is no stage's: schemas/recipe.py has no section 'polish'"
    ]


@pytest.mark.parametrize("way", [("k2core.rl.steps", "k2core.sft"), ("k2core.chat", "k2core.rl")])
def test_a_stage_that_reaches_another_breaks_the_contract(way: tuple[str, str]) -> None:
    graph = ImportGraph()
    for module in ("k2core.rl.steps", "k2core.chat", *(f"k2core.{stage}" for stage in STAGES)):
        graph.add_module(module)
    graph.add_import(importer="k2core.clean", imported="k2core.chat")
    contract = StagesContract("meet", {}, {"type": "stages", "room": "k2core"})
    assert contract.check(graph, verbose=False).kept
    graph.add_import(importer=way[0], imported=way[1])
    assert not contract.check(graph, verbose=False).kept
