import shutil
from pathlib import Path

import pytest

from infra.versions import acknowledge, check_stage, sources_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one stage that uses a shared room, one promise and a data file."""
    files = {
        "tasks/clean.py": '"""Adapter."""\nVERSION = "1"\n"""Bump."""\n',
        "schemas/clean.py": "from schemas.base import Config\nX = 1\n",
        "schemas/base.py": "class Config: ...\n",
        "schemas/other.py": "Y = 1\n",
        "k2core/clean/__init__.py": "def work():\n    from k2core.problems import gold\n",
        "k2core/clean/words.txt": "lorem\n",
        "k2core/problems/__init__.py": "gold = 1\n",
        "k2core/rl/__init__.py": "z = 1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    acknowledge(("clean",), tmp_path)
    return tmp_path


def test_the_closure_holds_what_is_imported_anywhere_and_nothing_else(tree: Path) -> None:
    assert list(sources_of("clean", tree)) == [
        "k2core/clean",
        "k2core/problems",
        "schemas/base.py",
        "schemas/clean.py",
    ]


def test_an_acknowledged_stage_stands(tree: Path) -> None:
    assert check_stage("clean", tree) is None


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("k2core/clean/__init__.py", "def work():\n    from k2core.problems import gold as g\n"),
        ("k2core/clean/words.txt", "ipsum\n"),
        ("k2core/clean/more.py", "a = 1\n"),
        ("k2core/problems/__init__.py", "gold = 2\n"),
        ("schemas/base.py", "class Config:\n    x = 1\n"),
    ],
)
def test_a_change_of_what_runs_needs_a_word(tree: Path, path: str, text: str) -> None:
    (tree / path).write_text(text)
    problem = check_stage("clean", tree)
    assert problem is not None
    assert str(Path(path).parent if path.startswith("k2core") else path) in problem
    assert "python -m infra.versions --acknowledge clean" in problem
    acknowledge(("clean",), tree)
    assert check_stage("clean", tree) is None


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("k2core/problems/__init__.py", '"""Problems."""\n\n# Their gold.\ngold = 1\n'),
        ("schemas/clean.py", 'from schemas.base import Config\nX = 1\n"""Shown in a form."""\n'),
        ("k2core/rl/__init__.py", "z = 2\n"),
        ("schemas/other.py", "Y = 2\n"),
    ],
)
def test_comments_docstrings_and_other_rooms_need_none(tree: Path, path: str, text: str) -> None:
    (tree / path).write_text(text)
    assert check_stage("clean", tree) is None


def test_a_bump_is_recorded_by_the_same_command(tree: Path) -> None:
    (tree / "tasks" / "clean.py").write_text('VERSION = "2"\n')
    problem = check_stage("clean", tree)
    assert problem is not None
    assert "VERSION is now 2" in problem


def test_a_file_that_is_gone_is_a_change(tree: Path) -> None:
    shutil.rmtree(tree / "k2core" / "problems")
    assert check_stage("clean", tree) is not None


def test_a_task_without_version_is_named(tree: Path) -> None:
    (tree / "tasks" / "clean.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"tasks/clean\.py states no VERSION"):
        check_stage("clean", tree)


def test_an_unrecorded_stage_is_named(tree: Path) -> None:
    (tree / "tasks" / "rl.py").write_text('VERSION = "1"\n')
    problem = check_stage("rl", tree)
    assert problem is not None
    assert "rl is not in tasks/versions.json" in problem
