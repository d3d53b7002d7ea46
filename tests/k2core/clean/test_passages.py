from pathlib import Path

from k2core.clean import clean_documents
from k2core.store import Store
from schemas.clean import CleanConfig, Deduplication, DomainRules, RepeatedPassages
from tests.k2core.clean.corpora import document, prose, publish_raw, read_folder

FREE = DomainRules(language=False, quality=None, repetition=None)
FOOTER = "Copyright 1999, the Makers of Harps. Would you like to hear more? Write to the address."
SAME = "COPYRIGHT 2024 the makers of harps; would you like, to hear móre? Write to the address!"


def config(passages: RepeatedPassages) -> CleanConfig:
    rules = Deduplication(passages=passages, prefer=())
    return CleanConfig(knowledge=FREE, web=FREE, deduplication=rules, code=FREE)


def texts() -> dict[str, str]:
    return {
        "first": f"{prose(1)}\n\n{FOOTER}",
        "second": f"{prose(2)}\n\nshort\n\n{SAME}\n\n{prose(3)}",
        "copy": f"{prose(1)}\n\n{FOOTER}",
        "little": f"{FOOTER}\n\nand this",
        "after": f"{prose(4)}\n\nshort\n\nand this",
        "twice": f"{prose(5)}\n\n{prose(6)}\n\n{prose(5)}",
    }


def test_passages_stay_where_they_stood_first(tmp_path: Path) -> None:
    for size in (1, 4, 100):
        store = Store(tmp_path / str(size))
        rows = [document(path, text, "web") for path, text in texts().items()]
        rows.append(document("code", texts()["first"] + ".", "code"))
        raw = publish_raw(store, rows, size)
        draft = clean_documents(config(RepeatedPassages()), [], raw, store.workspace("clean"))
        kept = {row["path"]: row for row in read_folder(draft.folder / "kept")}
        rejects = {row["path"]: row for row in read_folder(draft.folder / "rejects")}
        assert {path: row["reason"] for path, row in rejects.items()} == {
            "copy": "exact_duplicate",
            "code": "near_duplicate",
            "little": "repeated_passages",
        }
        assert rejects["little"]["text"] == texts()["little"]
        assert rejects["little"]["measured"] == 1 - 8 / len(texts()["little"])
        assert kept["first"]["text"] == texts()["first"]
        assert kept["second"]["text"] == f"{prose(2)}\n\nshort\n\n{prose(3)}"
        assert kept["after"]["text"] == texts()["after"]
        assert kept["twice"]["text"] == f"{prose(5)}\n\n{prose(6)}"
        ids = {row["path"]: row["doc_id"] for row in rows}
        assert read_folder(draft.folder / "passages") == [
            {"doc_id": ids["second"], "kept_id": ids["first"], "number": 2, "text": SAME},
            {"doc_id": ids["twice"], "kept_id": ids["twice"], "number": 2, "text": prose(5)},
        ]
        digests = {document("", str(row["text"]))["digest"] for row in kept.values()}
        assert {row["digest"] for row in kept.values()} == digests


def test_a_dropped_document_takes_no_passage_from_those_after_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows = [
        document("first", f"{prose(1)}\n{FOOTER}", "web"),
        # Most of it repeats: dropped, and its own last line is not counted as standing there.
        document("dropped", f"{prose(1)}\n{prose(7)[:200]}", "web"),
        document("after", f"{prose(7)[:200]}\n{prose(8)}", "web"),
    ]
    raw = publish_raw(store, rows, 2)
    lines = RepeatedPassages(unit="line")
    draft = clean_documents(config(lines), [], raw, store.workspace("clean"))
    assert [row["path"] for row in read_folder(draft.folder / "kept")] == ["first", "after"]
    assert read_folder(draft.folder / "passages") == []


def test_what_is_left_of_a_document_may_be_too_little(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows = [
        document("a", f"{prose(1)}\n\n{FOOTER}", "web"),
        document("b", f"{FOOTER}\n\nhm", "web"),
    ]
    raw = publish_raw(store, rows, 9)
    every = config(RepeatedPassages(max_removed_frac=1.0))
    draft = clean_documents(every, [], raw, store.workspace("clean"))
    (reject,) = read_folder(draft.folder / "rejects")
    assert (reject["path"], reject["reason"], reject["measured"]) == ("b", "no_text", 2.0)
