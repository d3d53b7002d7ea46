"""Every row of docs/sandbox.md: the solution earns 1 by the test beside it, in both tiers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from k2core.sandbox import Limits, Sandbox

PAGE = Path(__file__).parents[3] / "docs" / "sandbox.md"
MODULES = "collections dataclasses enum decimal fractions datetime itertools types contextlib"
IMPORTS = "".join(f"from {module} import *\n" for module in MODULES.split())
RAISED = """
def raised(call, kind):
    try:
        call()
    except kind as error:
        return error.args or True
    except Exception:
        return ()
"""
LIMITS = Limits(cpu_s=2, wall_s=20.0)


class Row(NamedTuple):
    """A promise of the page."""

    what: str
    solution: str
    test: str


def rows_of(page: str) -> list[Row]:
    rows = []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 4 and cells[2].startswith("`"):
            solution = "\n".join(re.findall("`(.+?)`", cells[2]))
            rows.append(Row(cells[0], solution, cells[3].strip("`")))
    return rows


ROWS = rows_of(PAGE.read_text())


@pytest.fixture(scope="module", params=["A", "B"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox.start((request.param,)) as started:
        yield started


def test_the_page_has_its_rows() -> None:
    assert len(ROWS) >= 25


@pytest.mark.parametrize("row", ROWS, ids=[row.what for row in ROWS])
def test_a_row(sandbox: Sandbox, row: Row) -> None:
    test = f"{IMPORTS}{RAISED}assert {row.test}"
    verdict = sandbox.judge_calls(IMPORTS + row.solution, [test], ("f",), LIMITS)
    assert verdict == (1.0, ""), verdict
