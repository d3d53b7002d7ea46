"""Folders of files: which are read, what is said of the rest, and what a document is called."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from k2core.ingest import SourceError, batches, ingest_sources
from k2core.ingest.folder import FoundRecord
from k2core.ingest.losses import Losses
from k2core.ingest.shards import Collected, cut_shards
from k2core.store import Draft, Store, digest_of, manifest_of
from k2core.store.bucket import Bucket
from k2core.tables import list_shards, read_shard
from schemas.corpus import Document, DocumentRow, Loss, Origin
from schemas.ingest import FilesConfig, IngestConfig
from schemas.placement import Placement
from tests.k2core.ingest.files import epub, members, page, parquet, response, rows, text, zstd
from tests.k2core.ingest.hostile import MAIL, T
from tests.k2core.ingest.reading import read_folder

GOOD: Mapping[str, bytes] = {
    "a.html": page(0),
    "b.jsonl": rows(1, 2),
    "c.jsonl.zst": zstd(rows(3, 4)),
    "d.parquet": parquet(pl.DataFrame({"text": [text(5), text(6)]}).to_arrow()),
    "e.warc.gz": members(response(7), response(8)),
    "src/f.py": b"x = 1\n",
    "g.epub": epub(9),
    "h.eml": MAIL,
}


def write(folder: str | Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        if "://" in str(folder):
            Bucket(str(folder)).put(name, data)
        else:
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def files(folder: str | Path, **more: object) -> FilesConfig:
    return FilesConfig.model_validate({"folder": str(folder), "license": "MIT", **more})


def only(config: FilesConfig, **more: object) -> IngestConfig:
    names = ("knowledge", "web", "code", "tool_specs", "math", "tables")
    nums = {f"num_{name}": 0 for name in names}
    return IngestConfig.model_validate({**nums, "files": config, **more})


def read(config: FilesConfig) -> list[FoundRecord]:
    return list(read_folder(config, Losses()))


def collect(config: IngestConfig, root: Path, num_workers: int = 0) -> Draft:
    """What the stage writes."""
    placement = Placement(data_workers=num_workers)
    return ingest_sources(config, Store(root).workspace("ingest"), placement)


def ids(config: FilesConfig) -> list[str]:
    return [found.document["doc_id"] for found in read(config)]


@pytest.mark.parametrize("kind", ["folder", "memory", "bucket"])
def test_every_format_is_read_near_and_far(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = {"folder": str(tmp_path), "memory": "memory://readers/good"}.get(kind, "")
    folder = folder or str(request.getfixturevalue("bucket"))
    write(folder, GOOD)
    losses = Losses()
    found = [each.document for each in read_folder(files(folder), losses)]
    assert losses.num_lost == losses.num_left_out == 0
    assert [row["path"].split("#")[0] for row in found] == [
        *("a.html", "b.jsonl", "b.jsonl", "c.jsonl.zst", "c.jsonl.zst", "d.parquet", "d.parquet"),
        *("e.warc.gz", "e.warc.gz", "g.epub", "h.eml", "src/f.py"),
    ]
    assert len({row["doc_id"] for row in found}) == len(found)
    assert {row["path"] for row in found if row["format"] == "html"} == {
        *("a.html", "e.warc.gz#http://a.org/", "g.epub#OPS/c9.xhtml")
    }


def test_files_that_nobody_means_are_left_out_and_counted(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    write(tmp_path, {"outside.txt": b"secret", "in/a.txt": b"a", "in/.git/config": b"[core]"})
    root = tmp_path / "in"
    for name in (".DS_Store", "a.txt~", "__MACOSX/b", "#a.txt#", "a.bak"):
        write(root, {name: b"no"})
    (root / "outside.txt").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "dangling").symlink_to(root / "nowhere")
    os.mkfifo(root / "pipe")
    losses = Losses()
    assert [found.document["path"] for found in read_folder(files(root), losses)] == ["a.txt"]
    assert losses.num_lost == 0
    assert losses.as_json()["left_out"] == {
        "a folder excluded by a pattern": 2,
        "a link; follow_links is false": 3,
        "a pipe, socket or device": 1,
        "excluded by '.*'": 1,
        "excluded by '*~'": 1,
        "excluded by '#*#'": 1,
        "excluded by '*.bak'": 1,
    }
    followed = read_folder(files(root, follow_links=True, exclude=(".*",)), losses := Losses())
    names = [found.document["path"] for found in followed]
    assert names == ["#a.txt#", "__MACOSX/b", "a.bak", "a.txt", "a.txt~", "outside.txt"]
    assert losses.as_json()["lost"] == {"a file that cannot be looked at": 1}


def test_names_of_any_bytes_are_written_out(tmp_path: Path) -> None:
    names = [b"bad\xff.txt", b"new\nline.txt", "ünï 日本.txt".encode(), b"q?[1]%20.txt"]
    for name in names:
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(b"x")
    found = {each.document["path"] for each in read(files(tmp_path))}
    assert found == {"bad\\xff.txt", "new\nline.txt", "ünï 日本.txt", "q?[1]%20.txt"}


def test_a_document_keeps_its_id_when_rows_are_inserted(tmp_path: Path) -> None:
    write(tmp_path, {"a.jsonl": rows(1, 2, 2)})
    before = ids(files(tmp_path))
    assert len(set(before)) == 3
    write(tmp_path, {"a.jsonl": rows(0, 1, 2, 2, 3)})
    assert ids(files(tmp_path))[1:4] == before
    own = b'{"id": "x", "text": "one"}\n'
    write(tmp_path, {"a.jsonl": own})
    before = ids(files(tmp_path))
    write(tmp_path, {"a.jsonl": rows(1) + own.replace(b"one", b"edited")})
    assert ids(files(tmp_path))[1:] == before


def test_what_rows_say_of_themselves_is_kept(tmp_path: Path) -> None:
    row = {
        "id": "doc-17", "url": "http://a.test/x", "date": "2024-01-01", "license": "CC0-1.0",
        "lang": "en", "language_score": 0.75, "text": "one",
    }  # fmt: skip
    table = pl.DataFrame([{**row, "text": "two"}]).to_arrow()
    lines = [{"text": "plain"}, row, {"text": "odd", "url": {"a": 1}, "id": None}]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    write(tmp_path, {"a.jsonl": data, "b.parquet": parquet(table)})
    folder = collect(only(files(tmp_path)), tmp_path / "s").folder
    (shard,) = list_shards(folder / "documents")
    plain, kept, odd, second = read_shard(shard, Document).to_dicts()
    assert [plain["license"], kept["license"], second["license"]] == ["MIT", "CC0-1.0", "CC0-1.0"]
    assert [plain["path"], odd["path"]] == ["a.jsonl#line 1", "a.jsonl#line 3"]
    assert kept["path"] == "a.jsonl#http://a.test/x"
    assert second["path"] == "b.parquet#http://a.test/x"
    origins = read_shard(folder / "origins" / shard.name, Origin).to_dicts()
    assert origins[1] == {
        "doc_id": kept["doc_id"], "file": "a.jsonl", "place": "line 2", "own_id": "doc-17",
        "url": "http://a.test/x", "date": "2024-01-01", "language": "en", "score": "0.75",
    }  # fmt: skip
    assert origins[2]["url"] == origins[2]["own_id"] == ""


def test_losses_are_counted_in_the_stage_line_and_named_in_its_file(tmp_path: Path) -> None:
    bad = b'{"text": "cut\n' * 300
    write(tmp_path / "in", {"a.jsonl": rows(1) + bad, "b.pdf": b"%PDF-1.4", "c.warc": b"WARC/1.0"})
    draft = collect(only(files(tmp_path / "in")), tmp_path / "s")
    counts = {"documents": 1, "records lost": 302, "files with losses": 3}
    assert {name: draft.counts[name] for name in counts} == counts
    faults = json.loads((draft.folder / "faults.json").read_text())
    assert faults["lost"] == {
        "no JSON": 300,
        "the file cannot be read": 1,
        "a WARC record without a length": 1,
    }
    assert len(faults["examples"]["no JSON"]) == 10
    first = faults["examples"]["no JSON"][0]
    assert first["file"] == "a.jsonl"
    assert first["place"] == "line 2"
    assert first["detail"].startswith("Invalid control character")
    (listed,) = list_shards(draft.folder / "losses")
    lost = read_shard(listed, Loss)
    assert lost.group_by("file").agg(pl.col("num").sum()).sort("file").rows() == [
        ("a.jsonl", 300), ("b.pdf", 1), ("c.warc", 1)
    ]  # fmt: skip
    assert lost.row(0, named=True) == {
        "source": "files", "by_rule": False, "num": 1, "reason": "no JSON",
        **{name: first[name] for name in ("file", "place", "detail")},
    }  # fmt: skip


def test_several_sources_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path / "a", {"x.txt": b"one text", ".hidden": b"no"})
    write(tmp_path / "b", {"x.txt": b"one text", "p.html": page(0)})
    config = only(files(tmp_path / "a", name="notes")).model_copy(
        update={
            "files": (
                files(tmp_path / "a", name="notes", domain="notes"),
                files(tmp_path / "b", name="pages", domain="site_source", verbatim=True),
            )
        }
    )
    assert config.domains == {"notes", "site_source"}
    folder = collect(config, tmp_path / "s").folder
    found = [
        row
        for shard in list_shards(folder / "documents")
        for row in read_shard(shard, Document).to_dicts()
    ]
    assert [(row["source"], row["domain"], row["path"], row["format"]) for row in found] == [
        ("notes", "notes", "x.txt", "text"),
        ("pages", "site_source", "p.html", "text"),
        ("pages", "site_source", "x.txt", "text"),
    ]
    assert len({row["doc_id"] for row in found}) == 3
    sources = json.loads((folder / "sources.json").read_text())
    assert {name: about["documents"] for name, about in sources.items()} == {"notes": 1, "pages": 2}
    write(tmp_path / "c", {".hidden": b"no", "e.txt": b""})
    empty = config.model_copy(update={"files": (*config.files, files(tmp_path / "c", name="none"))})
    with pytest.raises(SourceError, match=r"c gave no document: e\.txt: the file is empty"):
        collect(empty, tmp_path / "s")


@pytest.mark.parametrize(
    ("given", "more", "said"),
    [
        ({"a.txt": b""}, {}, r"gave no document: a\.txt: the file is empty"),
        ({"a.jsonl": b'{"x": 1}\n'}, {}, r"\(line 1\): no text field, wanted 'text', found x"),
        ({"a.txt": b"a", "b.txt": b""}, {"on_fault": "error"}, r"b\.txt: the file is empty"),
        ({"a.txt": b"a"}, {"pattern": "*.warc"}, r"holds no files like '\*\.warc'; 1 others"),
        ({}, {}, "there is no such folder"),
    ],
)
def test_nothing_to_read_is_an_error_that_says_why(
    given: Mapping[str, bytes], more: Mapping[str, object], said: str, tmp_path: Path
) -> None:
    write(tmp_path / "in", given)
    with pytest.raises(SourceError, match=said):
        collect(only(files(tmp_path / "in", **more)), tmp_path / "s")
    if not given:
        (tmp_path / "link").symlink_to(tmp_path / "link")
        for place, words in (("foo://x", "Protocol"), (tmp_path / "link", "neither a folder nor")):
            with pytest.raises(SourceError, match=words):
                read(files(place))
        with pytest.raises(SourceError, match=re.escape("memory://readers/none: there is no such")):
            read(files("memory://readers/none"))


def test_a_single_file_is_a_folder_of_one(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert [found.document["text"] for found in read(files(tmp_path / "b.jsonl"))] == T[1:3]


def test_shards_are_bounded_in_bytes() -> None:
    def collected(size: int) -> Collected:
        row = {name: "" for name in DocumentRow.__annotations__} | {"text": "x" * size}
        return Collected(DocumentRow(**row), None, size)  # type: ignore[typeddict-item]

    config = IngestConfig(shard_bytes=100, shard_documents=3)
    shards = cut_shards(map(collected, (60, 60, 40, 1, 500, 1, 1, 1, 1)), config)
    assert [[len(each.document["text"]) for each in shard] for shard in shards] == [
        *([60], [60, 40], [1], [500], [1, 1, 1], [1])
    ]


def test_files_go_in_batches_by_their_bytes_whatever_else_is_read(tmp_path: Path) -> None:
    write(tmp_path / "in", {f"{n}.jsonl": rows(*range(n, n + 4)) for n in range(9)})
    (tmp_path / "in" / "4.jsonl").write_bytes(b"{no\n" + rows(4))
    small = {"shard_bytes": 300, "shard_documents": 3}
    whole = collect(only(files(tmp_path / "in")), tmp_path / "s")
    cut = collect(only(files(tmp_path / "in"), **small), tmp_path / "t")
    frames = [
        pl.concat([pl.read_parquet(path) for path in list_shards(made.folder / "documents")])
        for made in (whole, cut)
    ]
    assert frames[0].equals(frames[1])
    assert len(list_shards(cut.folder / "documents")) == len(list_shards(cut.folder / "origins"))
    assert len(list_shards(cut.folder / "documents")) > 9
    for name in ("faults.json", "sources.json"):
        assert (cut.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert cut.counts == whole.counts


def test_a_killed_run_goes_on_after_the_batches_that_it_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in", {f"{n}.jsonl": rows(n, n + 1) for n in range(6)})
    config = only(files(tmp_path / "in"), shard_bytes=60)
    wanted = digest_of(manifest_of(collect(config, tmp_path / "s").folder))
    read, opened = batches.read_batch, list[str]()

    def note(*arguments: object) -> None:
        opened.append(arguments[3][0].name)  # type: ignore[index]
        if len(opened) == 4:
            raise KeyboardInterrupt
        read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(batches, "read_batch", note)
    with pytest.raises(KeyboardInterrupt):
        collect(config, tmp_path / "t")
    assert digest_of(manifest_of(collect(config, tmp_path / "t").folder)) == wanted
    assert opened == [f"{n}.jsonl" for n in (0, 1, 2, 3, 3, 4, 5)]
