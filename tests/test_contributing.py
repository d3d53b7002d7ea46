"""What CONTRIBUTING.md says of adding is true: its diffs, applied to a copy, give what runs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.home import ROOT

ROOMS = ("schemas", "k2core", "tasks", "infra", "workflows", ".flyte")
RUN = """
import json
from k2core.store import Draft
from k2core.tables import write_shard
from schemas.artifacts import CleanCorpus
from schemas.corpus import Document
from schemas.survey import SurveyConfig
from tasks.store import open_store
from workflows.launch import _run
from workflows.stages import artifact_inputs, task_of

store = open_store()
row = {"source": "s", "path": "p", "domain": "web", "format": "text", "license": "MIT"}
rows = [{**row, "doc_id": t, "digest": t, "text": t} for t in ("one two three", "one two", "one")]
made = store.workspace("clean").out
write_shard(made / "kept" / "0.parquet", Document, rows)
clean = store.publish(CleanCorpus, Draft(made, {}))
task = task_of("survey")
for name, long in (("first", 2), ("again", 2), ("other", 3)):
    made = _run(
        name, task, config=SurveyConfig(long=long), **artifact_inputs(task, {"clean": clean})
    )
    print("MADE", name, (store.open(made) / "survey.json").read_text())
"""


class House:
    """A copy of the house that a newcomer adds to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for room in (*ROOMS, "tests/k2core"):
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / room, root / room, ignore=leave)

    def add(self, what: str) -> list[str]:
        """Apply the diff of CONTRIBUTING.md; returns the files that it touches."""
        text = (ROOT / "CONTRIBUTING.md").read_text()
        found = re.search(rf"\*\*{what}\*\*:.*?```diff\n(.*?)```", text, re.DOTALL)
        assert found is not None, f"CONTRIBUTING.md has no diff of {what!r}"
        files = re.findall(r"^\+\+\+ (\S+)\n((?:(?!\+\+\+ ).*\n)*)", found[1], re.MULTILINE)
        for name, lines in files:
            self._apply(self.root / name, lines.splitlines())
        return [name for name, _ in files]

    def _apply(self, path: Path, lines: list[str]) -> None:
        """Put what a `+` adds after the last line that the diff shows as it was."""
        old = path.read_text().splitlines() if path.exists() else []
        at = len(old)
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in lines:
            if line.startswith("+"):
                old.insert(at, line[1:])
            else:
                assert old.count(line[1:]) == 1, f"{path.name} has not one line {line[1:]!r}"
                at = old.index(line[1:])
            at += 1
        path.write_text("\n".join(old) + "\n")

    def python(self, *arguments: str, fails: bool = False) -> str:
        """What Python prints, started in the copy."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("K2_", "MLFLOW_T"))}
        env |= {"PYTHONPATH": str(self.root), "K2_HOME": str(self.root / "home")}
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=self.root, env=env, capture_output=True, text=True)
        assert bool(done.returncode) == fails, done.stderr[-3000:]
        return done.stdout + done.stderr


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_stage_is_added_and_runs(house: House) -> None:
    touched = house.add("A stage")
    assert len(touched) <= 5
    told = house.python("-m", "infra.versions", "survey", fails=True)
    assert "record it with: python -m infra.versions --acknowledge survey" in told
    house.python("-m", "infra.versions", "--acknowledge", "survey")
    house.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/k2core/survey")
    printed = house.python("-c", RUN)
    made = dict(re.findall(r"MADE (\w+) (.*)", printed))
    assert {name: json.loads(text)["long"] for name, text in made.items()} == {
        "first": 2,
        "again": 2,
        "other": 1,
    }
    assert printed.count("survey     done in") == 2  # the second was answered from the cache
    (house.root / "tasks" / "survey.py").unlink()
    assert "stage survey has no tasks/survey.py" in house.python("-m", "infra.versions", fails=True)


def test_a_verifier_is_added_and_judges_its_gold(house: House) -> None:
    assert len(house.add("A verifier")) == 2
    shutil.copy(ROOT / "conftest.py", house.root)
    gold = "tests/k2core/rewards/test_gold.py"
    told = house.python("-m", "pytest", "-p", "no:cacheprovider", gold, "-k", "word_count")
    assert "1 passed" in told


def test_an_ablation_with_an_optimizer_of_ones_own_runs_and_resumes(house: House) -> None:
    assert len(house.add("An optimizer")) == 1
    assert len(house.add("An ablation")) == 2
    lion = ("-m", "workflows.ablations", "lion", "--seeds", "2")
    told = house.python(*lion)
    losses = dict(re.findall(r"(\S+): (\S+) nats a byte", told))
    assert set(losses) == {"MuonClip", "mine.lion:Lion"}
    assert len(set(losses.values())) == 2
    assert "4 of 4 missing" in told
    again = house.python(*lion)
    assert "missing" not in again
    assert dict(re.findall(r"(\S+): (\S+) nats a byte", again)) == losses
