"""Harvested servers are really called where they were harvested; the families need none."""

import random
import sys
import zipfile
from pathlib import Path
from typing import cast, get_args

import pytest

from k2core.chat import validate_dialogue
from k2core.sandbox import Sandbox
from k2core.synthesize import ServersMissingError
from k2core.synthesize.judge import Judge
from k2core.synthesize.live_families import FAMILIES, INSTALLED_FAMILIES
from k2core.synthesize.live_files import LiveEditor, LiveShell
from k2core.synthesize.live_installed import InstalledFamily, LiveFilesystem, LiveMemory
from k2core.synthesize.live_office import LiveWord
from k2core.synthesize.live_shard import live_entries, sample_live
from k2core.synthesize.office import read_docx, read_xlsx, write_docx
from k2core.synthesize.trajectories import to_row
from k2core.tools.installed import find_entry, tools_root
from schemas.chat import ToolSpec
from schemas.synthesize import LiveServer, SynthesizeConfig

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
        again = list(sample_live(config, family, Judge(sandbox), tmp_path))
    assert len(samples) > 8
    assert [to_row(sample) for sample in again] == [to_row(sample) for sample in samples]
    for dialogue, judgement, *_ in samples:
        assert judgement == (1.0, ""), dialogue.messages
        validate_dialogue(dialogue.messages)
        assert dialogue.messages[2].role == "tool"
        called = {call.name for message in dialogue.messages for call in message.tool_calls}
        assert called == {tool.name for tool in dialogue.problem.tools}
    entries = live_entries(family, tmp_path)
    assert {made.origin.source for made in entries} == {entry.source}
    assert {made.origin.license for made in entries} == {entry.license}


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


def test_a_dozen_servers_are_called_and_the_config_knows_them_all() -> None:
    assert len(FAMILIES) == 12
    assert set(get_args(LiveServer)) == set(FAMILIES)


STATEFUL = (LiveFilesystem(), LiveMemory(), LiveShell(), LiveEditor(), LiveWord())


@pytest.mark.parametrize("family", STATEFUL, ids=lambda f: f.server)
def test_a_problem_begins_in_its_own_state_and_is_not_yet_solved(
    family: InstalledFamily, tmp_path: Path
) -> None:
    rng, unsolved = random.Random(3), 0
    for _ in range(40):
        content = family.draw(rng)
        family.reset(None, tmp_path, content)  # type: ignore[arg-type]
        state = family.read_state(tmp_path)
        begun = content.get("files", content.get("likes"))
        assert begun is None or state == begun
        assert begun or [*content["places"].values()] == [
            text.rpartition(" ")[2][:-1] for text in cast("list[str]", state["paragraphs"])
        ]
        if "answer" in content["expected"]:
            assert content["expected"]["answer"] not in ("", None)
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


def test_a_document_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write_docx(tmp_path / "a.docx", ["One & two.", "Three <four>."])
    assert read_docx(tmp_path / "a.docx") == ["One & two.", "Three <four>."]


def test_a_workbooks_shared_and_own_texts_and_numbers_are_read(tmp_path: Path) -> None:
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr(
            "xl/sharedStrings.xml",
            f'<sst xmlns="{main}"><si><t>item</t></si>'
            "<si><r><t>la</t></r><r><t>mp</t></r></si></sst>",
        )
        archive.writestr(
            "xl/worksheets/sheet1.xml",
            f'<worksheet xmlns="{main}"><sheetData><row><c r="A1" t="s"><v>0</v></c>'
            '<c r="B1" t="inlineStr"><is><t>count</t></is></c></row>'
            '<row><c r="A2" t="s"><v>1</v></c>'
            '<c r="B2"><v>3</v></c><c r="C2"/></row></sheetData></worksheet>',
        )
    cells = read_xlsx(tmp_path / "a.xlsx")
    assert cells == {"A1": "item", "B1": "count", "A2": "lamp", "B2": "3"}
