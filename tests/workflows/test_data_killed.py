"""`k2 data`, killed in each of its passes: what was finished is not made again, nor otherwise."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.k2core.clean.corpora import prose

DEATHS = ("read_batch:2", "judge_shard:3", "write_clean:2")


def make(home: Path, texts: Path, database: Path, *deaths: str) -> tuple[object, Counter[str]]:
    """The corpus' artifacts, and how many pieces of each pass were worked on."""
    home.mkdir()
    shutil.copy(database, home)
    done = subprocess.run(
        [sys.executable, "-m", "tests.workflows.killed_data", str(texts), *deaths],
        env=os.environ | {"K2_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)["artifacts"], Counter((home / "pieces").read_text().split())


@pytest.mark.slow
def test_what_was_killed_goes_on_to_the_same_corpus(tmp_path: Path, empty_database: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(40):
        (texts / f"{number}.md").write_text(f"# Note\n\n{prose(number)}\n")
    (texts / "copy.md").write_text(f"# Note\n\n{prose(3)}\n")
    whole, pieces = make(tmp_path / "whole", texts, empty_database)
    resumed, worked_on = make(tmp_path / "killed", texts, empty_database, *DEATHS)
    assert resumed == whole
    assert min(pieces.values()) > 3
    again = {name: worked_on[name] - pieces[name] for name in pieces}
    assert again == {name.partition(":")[0]: 1 for name in DEATHS}  # the one that was in its hands
