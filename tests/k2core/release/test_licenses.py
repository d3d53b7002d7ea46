import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from k2core.release.licenses import LicensedSource, licenses_page, read_sources


def folder(path: Path, sources: Mapping[str, Mapping[str, object]]) -> Path:
    path.mkdir()
    (path / "sources.json").write_text(json.dumps(sources))
    return path


def test_sources_come_once_and_by_name(tmp_path: Path) -> None:
    wiki: dict[str, object] = {"license": "CC-BY-SA-4.0", "package": "wiki", "version": 3}
    wiki |= {"documents": 9000, "domain": "knowledge", "credit": "its authors"}
    one = folder(tmp_path / "one", {"wiki": wiki, "code": {"license": "MIT"}})
    two = folder(tmp_path / "two", {"wiki": wiki, "apes": {"license": "CC0-1.0", "role": "tool"}})
    assert read_sources([one, two]) == [
        LicensedSource("apes", "CC0-1.0", gives="tool"),
        LicensedSource("code", "MIT", gives="weights"),
        LicensedSource(
            "wiki", "CC-BY-SA-4.0", "wiki", "3", "knowledge, 9,000 documents", "its authors"
        ),
    ]


@pytest.mark.parametrize("about", [{}, {"license": ""}, {"license": None, "package": "p"}])
def test_a_source_without_licence_stops_the_release(
    tmp_path: Path, about: dict[str, object]
) -> None:
    good = folder(tmp_path / "good", {"code": {"license": "MIT"}})
    bad = folder(tmp_path / "bad", {"found": about})
    with pytest.raises(ValueError, match=r"bad/sources\.json: source 'found' has no license"):
        read_sources([good, bad])


def test_one_source_under_two_licences_stops_it_too(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", {"code": {"license": "MIT"}})
    two = folder(tmp_path / "two", {"code": {"license": "GPL-2.0"}})
    with pytest.raises(ValueError, match=r"'code' is under GPL-2\.0; before, MIT"):
        read_sources([one, two])


def test_the_page_has_a_row_a_source() -> None:
    wiki = LicensedSource("wiki", "CC-BY-4.0", gives="web, 3 documents", credit="A. Writer")
    page = licenses_page([LicensedSource("code", "MIT", "pkg", "1.0", "code, 9 documents"), wiki])
    assert page.startswith("# Licences of the data\n")
    assert page.endswith(
        "| code | code, 9 documents | MIT |  | pkg 1.0 |\n"
        "| wiki | web, 3 documents | CC-BY-4.0 | A. Writer |   |\n"
    )
