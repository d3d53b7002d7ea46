"""The house rules of CONTRIBUTING.md that a linter does not know."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.home import ROOT
from infra.stages import name_faults
from infra.versions import check_stage
from schemas.corpus import Decision, DecisionRow, Document, DocumentRow, Rewrite, RewriteRow
from schemas.recipe import STAGES

ROOMS = ("workflows", "tasks", "schemas", "k2core", "infra", "bench")
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
MOST_UNTYPED = 150
ENGINES = ("megatron", "vllm", "ray", "k2core.engines.megatron", "k2core.engines.vllm")


def python_files(*rooms: str) -> list[Path]:
    found = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    return sorted(path for path in found if "__pycache__" not in path.parts)


SOURCES = python_files(*ROOMS)
TESTS = python_files("tests")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def num_lines(path: Path) -> int:
    return path.read_text().count("\n")


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imports_at_start(path: Path) -> set[str]:
    """Modules that importing the file imports; those for type checkers only are left out."""
    found: set[str] = set()
    pending: list[ast.stmt] = list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending += [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)]
    return found


def is_within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_no_file_is_over_400_lines() -> None:
    assert [f"{name_of(p)}: {num_lines(p)}" for p in SOURCES + TESTS if num_lines(p) > 400] == []


def test_no_function_is_over_60_lines() -> None:
    long = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in functions_of(path)
        if (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert long == []


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for path in python_files("workflows", "tasks", "schemas", "k2core", "infra"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(name_of(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_names_say_what_they_hold() -> None:
    parts = {part: p for p in SOURCES + TESTS for part in (*p.relative_to(ROOT).parts[:-1], p.stem)}
    assert [name_of(path) for part, path in parts.items() if part in VAGUE] == []


def test_every_module_says_its_purpose() -> None:
    silent = [p for p in SOURCES if not ast.get_docstring(ast.parse(p.read_text()))]
    assert [name_of(path) for path in silent] == []


def test_a_stage_has_one_word_in_five_places() -> None:
    assert name_faults() == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_task_is_thin(stage: str) -> None:
    assert num_lines(ROOT / "tasks" / f"{stage}.py") <= 40


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_states_the_version_of_its_sources(stage: str) -> None:
    problem = check_stage(stage)
    assert problem is None, problem


@pytest.mark.parametrize("stage", STAGES)
def test_a_task_imports_its_work_inside_its_body(stage: str) -> None:
    work = tuple(f"k2core.{name}" for name in STAGES)
    early = imports_at_start(ROOT / "tasks" / f"{stage}.py")
    assert [module for module in sorted(early) if is_within(module, work)] == []


def test_nothing_loads_an_engine_before_it_works() -> None:
    outside = [p for p in SOURCES if not name_of(p).startswith("k2core/engines/")]
    early = [
        f"{name_of(path)}: {module}"
        for path in outside
        for module in sorted(imports_at_start(path))
        if is_within(module, ENGINES)
    ]
    assert early == []


def test_little_is_untyped() -> None:
    """Lines that say `Any`; an engine's seam gets a protocol, a row a TypedDict."""
    untyped = [
        f"{name_of(path)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\bAny\b", line) and "import" not in line
    ]
    assert len(untyped) <= MOST_UNTYPED, "\n".join(untyped)


@pytest.mark.parametrize(
    ("row", "table"), [(DocumentRow, Document), (DecisionRow, Decision), (RewriteRow, Rewrite)]
)
def test_a_row_is_typed_as_its_table_is(
    row: type[dict[str, object]], table: type[Document]
) -> None:
    kinds = {name: kind.__name__ for name, kind in get_type_hints(row).items()}
    columns = table.to_schema().columns
    names = {"str": "String", "int": "Int64", "float": "Float64"}
    assert {n: names[kind] for n, kind in kinds.items()} == {
        n: str(column.dtype) for n, column in columns.items()
    }


def test_no_test_is_skipped_for_good() -> None:
    words = re.compile(r"pytest\.mark\.(skip|xfail)\b(?!if)|pytest\.xfail\(")
    assert [
        name_of(p) for p in TESTS if p.name != "test_house.py" and words.search(p.read_text())
    ] == []


def asserts(test: ast.AST, helpers: dict[str, ast.FunctionDef], seen: frozenset[str]) -> bool:
    """Whether it, or a function of its file that it calls, can fail by its own judgement."""
    for node in ast.walk(test):
        if isinstance(node, ast.Assert):
            return True
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called.startswith(("pytest.raises", "pytest.fail")) or ".assert_" in called:
            return True
        helper = helpers.get(called)
        if called not in seen and helper and asserts(helper, helpers, seen | {called}):
            return True
    return False


def test_every_test_asserts_something() -> None:
    silent = []
    for path in TESTS:
        functions = {f.name: f for f in functions_of(path) if isinstance(f, ast.FunctionDef)}
        silent += [
            f"{name_of(path)}: {name}"
            for name, function in functions.items()
            if name.startswith("test_") and not asserts(function, functions, frozenset())
        ]
    assert silent == []


def test_every_random_number_has_a_seed() -> None:
    """No generator by the clock, and none of the modules' own, whose state anybody may move."""
    unseeded = re.compile(
        r"(?<![.\w])random\.(Random\(\)|(random|randint|randrange|choices?|shuffle|sample|uniform)\()"
        r"|default_rng\(\)|np\.random\.(rand|randn|randint|random|shuffle|choice|permutation)\("
    )
    assert [
        f"{name_of(path)}: {found[0]}"
        for path in SOURCES + TESTS
        for found in unseeded.finditer(path.read_text())
    ] == []


def test_direct_dependencies_are_the_locked_ones() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = {
        canonicalize_name(r.name): str(r.specifier)
        for r in map(Requirement, project["dependencies"])
    }
    locked = read_lock("cpu.txt") | read_lock("torch-cpu.txt")
    wrong = {
        n: (s, locked.get(n)) for n, s in stated.items() if locked.get(n, "").split("+")[0] != s
    }
    assert wrong == {}


def test_no_package_is_locked_twice() -> None:
    locks = [read_lock(name) for name in ("cpu.txt", "torch-cpu.txt", "dev.txt")]
    names = [name for lock in locks for name in lock]
    assert sorted(names) == sorted(set(names))


def test_locks_pin_exact_versions() -> None:
    locks = sorted((ROOT / "infra" / "locks").glob("*.txt"))
    loose = [
        f"{path.name}: {line}"
        for path in locks
        for line in lines_of(path)
        if not re.fullmatch(r"[\w.\-]+(\[[\w,\-]+\])?==[\w.+!\-]+", line)
    ]
    assert loose == []


def test_local_runs_are_recorded() -> None:
    config = yaml.safe_load((ROOT / ".flyte" / "config.yaml").read_text())
    assert config["local"]["persistence"] is True


def read_lock(name: str) -> dict[str, str]:
    lines = lines_of(ROOT / "infra" / "locks" / name)
    return {canonicalize_name(Requirement(x).name): str(Requirement(x).specifier) for x in lines}


def lines_of(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]
