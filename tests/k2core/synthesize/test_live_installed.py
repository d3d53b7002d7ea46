"""Harvested servers are really called where they were harvested; the families need none."""

import random
import sys
from pathlib import Path

import pytest

from k2core.sandbox import Sandbox
from k2core.synthesize import ServersMissingError
from k2core.synthesize.judge import Judge
from k2core.synthesize.live_installed import (
    INSTALLED_FAMILIES,
    InstalledFamily,
    LiveFilesystem,
    LiveMemory,
)
from k2core.synthesize.live_shard import live_entries, sample_live
from k2core.tools.installed import find_entry, tools_root
from schemas.chat import ToolSpec
from schemas.synthesize import SynthesizeConfig

by_server = pytest.mark.parametrize("family", INSTALLED_FAMILIES, ids=lambda f: f.server)


HARVESTED = Path(sys.prefix).parent / ".k2"
"""The home of a real harvest: the suite's own home holds none."""


@by_server
def test_a_harvested_server_is_really_called(
    family: InstalledFamily, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K2_HOME", str(HARVESTED))
    entry = find_entry(family.server)
    if not (tools_root() / f"{entry.name}-{entry.key}").is_dir():
        pytest.skip(f"k2 tools harvest --server {family.server}")
    with Sandbox.start() as sandbox:
        config = SynthesizeConfig(live_per_server=12)
        samples = list(sample_live(config, family, Judge(sandbox), tmp_path))
    assert len(samples) > 8
    for dialogue, judgement, *_ in samples:
        assert judgement == (1.0, ""), dialogue.messages
        assert dialogue.messages[2].role == "tool"
    entries = live_entries(family, tmp_path)
    assert {made.origin.source for made in entries} == {entry.source}


@by_server
def test_one_that_was_not_harvested_says_how_to(
    family: InstalledFamily, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K2_HOME", str(tmp_path))
    with (
        pytest.raises(
            ServersMissingError, match=f"run `k2 tools harvest --server {family.server}`"
        ),
        family.start(tmp_path),
    ):
        pass


@pytest.mark.parametrize("family", [LiveFilesystem(), LiveMemory()], ids=lambda f: f.server)
def test_a_problem_begins_in_its_own_state_and_is_not_yet_solved(
    family: InstalledFamily, tmp_path: Path
) -> None:
    rng, unsolved = random.Random(3), 0
    for _ in range(40):
        content = family.draw(rng)
        family.reset(None, tmp_path, content)  # type: ignore[arg-type]
        state = family.read_state(tmp_path)
        assert state == content.get("files", content.get("likes"))
        if "answer" in content["expected"]:
            assert content["expected"]["answer"] in state.values()
            assert f'"{content["expected"]["answer"]}"' not in content["request"]
        else:
            unsolved += state != content["expected"]["state"]
    assert unsolved > 10


def test_a_scripts_expert_reads_the_answer_in_the_servers_words() -> None:
    family = next(f for f in INSTALLED_FAMILIES if f.server == "memory")
    rng = random.Random(0)
    contents = (family.draw(rng) for _ in range(50))
    content = next(c for c in contents if "answer" in c["expected"])
    posed = family.pose(content, 0, {name: ToolSpec(name=name) for name in content["tools"]})
    script = family.act(posed)
    assert next(script).name == "open_nodes"  # type: ignore[union-attr]
    said = script.send('{"observations": ["likes river"]}')
    assert said.text == "river"  # type: ignore[union-attr]
