import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from k2core.clean import Question, clean_corpus, clean_documents
from k2core.clean.verdict import VERSIONS, RuleVerdict
from k2core.reporting import Silent
from k2core.store import Draft, Store, digest_of, manifest_of
from k2core.tables import TableError
from schemas.artifacts import RawCorpus
from schemas.clean import CleanConfig, Decontamination, DomainRules
from schemas.corpus import Document, Duplicate, Overlap, Reject
from schemas.placement import Placement
from schemas.problems import ProblemsConfig
from tests.k2core.clean.corpora import document, prose, publish_raw, read_folder
from tests.k2core.clean.test_languages import HALF

HELD_OUT = [
    Question("trains/1", "If a train has 17 cars and loses 5 of them how many remain?"),
    Question("trains/2", "A bus with 8 seats leaves the town at noon and takes 7 people along"),
]
CONFIG = CleanConfig(decontamination=Decontamination(ngram=10))
PLANTED = {
    "short": "extraction/no_text",
    "german": "language/not_en",
    "half": "paragraphs/foreign_paragraphs",
    "few": "gopher_quality/too_few_words",
    "again": "gopher_repetition/top_2_gram",
    "leak": "decontamination/held_out_problem",
    "copy": "deduplication/exact_duplicate",
    "near": "deduplication/near_duplicate",
    "mail": None,
}


def rows() -> list[dict[str, str]]:
    texts = {f"good{number}": prose(number) for number in range(30)}
    texts["long"] = prose(40)
    texts["short"] = "tiny"
    texts["german"] = "Dies ist ein längerer deutscher Satz über die Musik der Berge. " * 3
    texts["half"] = "\n\n".join(HALF)
    texts["few"] = "The cat and the dog have been to the park of the town."
    texts["again"] = "the end and " * 30
    texts["leak"] = prose(50) + " If a train has 17 cars and loses 5 of them, how many remain?"
    texts["copy"] = prose(3)
    texts["near"] = texts["long"].replace("bronze", "copper")
    texts["mail"] = prose(60) + " Ask jane@firm.org about it."
    return [
        *(document(path, text) for path, text in texts.items()),
        document("page", f"<body><nav>Home</nav><p>{prose(70)}</p></body>", "web", "html"),
        *(document(f"sum{n}", f"Question: {n} + {n}?\nAnswer: {2 * n}", "math") for n in range(9)),
    ]


def clean(store: Store, raw: RawCorpus, key: str = "clean") -> Draft:
    return clean_documents(CONFIG, HELD_OUT, raw, store.workspace(key))


def test_each_planted_fault_is_caught_by_its_rule(tmp_path: Path) -> None:
    store = Store(tmp_path)
    draft = clean(store, publish_raw(store, rows(), 100))
    kept, rejects = read_folder(draft.folder / "kept"), read_folder(draft.folder / "rejects")
    found = {row["path"]: f"{row['rule']}/{row['reason']}" for row in rejects}
    assert found == {path: rule for path, rule in PLANTED.items() if rule}
    assert {row["path"] for row in kept} == {row["path"] for row in rows()} - set(found)
    texts = {row["path"]: row["text"] for row in kept}
    assert str(texts["mail"]).endswith("Ask <EMAIL> about it.")
    assert texts["page"] == prose(70)
    assert {row["format"] for row in kept} == {"text"}
    funnel = json.loads((draft.folder / "funnel.json").read_text())
    assert funnel["redactions"]["email"] == 1
    assert funnel["redactions"]["iban"] == 0, "what was looked for is named"
    assert funnel["domains"]["knowledge"]["raw"] == 40
    assert funnel["domains"]["knowledge"]["kept"] == 32
    assert funnel["domains"]["knowledge"]["rejects"] == {
        rule: 1 for rule in sorted(filter(None, PLANTED.values()))
    }
    assert draft.counts["documents"] == len(kept)
    assert draft.counts["rejects"] == len(rejects) == 8
    assert set(rejects[0]) == set(Reject.to_schema().columns)
    assert (draft.folder / "sources.json").is_file()


def test_a_dropped_document_says_what_it_repeats(tmp_path: Path) -> None:
    store = Store(tmp_path)
    draft = clean(store, publish_raw(store, rows(), 7))
    ids = {row["path"]: row["doc_id"] for row in rows()}
    duplicates = read_folder(draft.folder / "duplicates")
    assert set(duplicates[0]) == set(Duplicate.to_schema().columns)
    assert {(row["doc_id"], row["kept_id"], row["reason"]) for row in duplicates} == {
        (ids["copy"], ids["good3"], "exact_duplicate"),
        (ids["near"], ids["long"], "near_duplicate"),
    }
    (overlap,) = read_folder(draft.folder / "overlaps")
    assert set(overlap) == set(Overlap.to_schema().columns)
    assert (overlap["doc_id"], overlap["problem_id"]) == (ids["leak"], "trains/1")
    # A comma parts the run: "if a .. them" and "how many remain ?" are left of 15 tokens.
    assert overlap["ngram"] == "if a train has 17 cars and loses 5 of"
    assert (overlap["num_ngrams"], overlap["covered_frac"]) == (2, pytest.approx(2 / 6))


def test_every_document_has_a_decision_that_says_where_it_went(tmp_path: Path) -> None:
    store = Store(tmp_path)
    draft = clean(store, publish_raw(store, rows(), 7))
    decisions = read_folder(draft.folder / "decisions")
    assert [row["path"] for row in decisions] == [row["path"] for row in rows()]
    for row in decisions:
        there = pl.read_parquet(draft.folder / str(row["shard"])).row(
            int(str(row["row"])), named=True
        )
        assert there["doc_id"] == row["doc_id"]
        if row["decision"] == "dropped":
            assert [row[k] for k in RuleVerdict._fields] == [there[k] for k in RuleVerdict._fields]
            assert row["rule_version"] == VERSIONS[str(row["rule"])]


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the clean corpus from raw shards of seven, judged in this process."""
    store = Store(tmp_path_factory.mktemp("store"))
    config = CONFIG.model_copy(update={"shard_documents": 16})
    draft = clean_documents(config, HELD_OUT, publish_raw(store, rows(), 7), store.workspace("a"))
    assert len(list((draft.folder / "decisions").iterdir())) == 4
    return digest_of(manifest_of(draft.folder))


@pytest.mark.parametrize("size", [1, 100])
def test_bytes_do_not_depend_on_shards(tmp_path: Path, one_by_one: str, size: int) -> None:
    store = Store(tmp_path)
    config = CONFIG.model_copy(update={"shard_documents": 16})
    raw = publish_raw(store, rows(), size)
    draft = clean_documents(config, HELD_OUT, raw, store.workspace("clean"))
    assert digest_of(manifest_of(draft.folder)) == one_by_one


@pytest.mark.slow
def test_a_fault_in_a_worker_is_named_as_in_the_stage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    workspace = store.workspace("raw")
    (workspace.out / "documents").mkdir()
    for number, domain in enumerate(("math", "Poetry!")):
        row = {**document("a", prose(1)), "domain": domain}
        pl.DataFrame([row]).write_parquet(workspace.out / "documents" / f"{number:05d}.parquet")
    (workspace.out / "sources.json").write_text("{}")
    raw = store.publish(RawCorpus, Draft(workspace.out, {}))
    with pytest.raises(TableError, match=r"00001\.parquet breaks Document: .*Poetry!.*domain"):
        clean_documents(CONFIG, [], raw, store.workspace("clean"), 2)


def test_cleaning_the_clean_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    draft = clean(store, publish_raw(store, rows(), 100))
    once = read_folder(draft.folder / "kept")
    again = publish_raw(store, [{k: str(v) for k, v in row.items()} for row in once], 50)
    second = clean(store, again, "second")
    assert read_folder(second.folder / "kept") == once
    assert read_folder(second.folder / "rejects") == []


class Told(Silent):
    """What was said beside the progress."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def progress(self, done: float, total: float, note: str = "") -> None:
        self.notes.append(note)


def test_while_it_runs_it_says_what_is_left(tmp_path: Path) -> None:
    told, store = Told(), Store(tmp_path)
    raw = publish_raw(store, rows(), 25)
    clean_documents(CONFIG, HELD_OUT, raw, store.workspace("clean", told))
    first, second, written = told.notes[:3]
    assert first == "25 read, 25 extracted, 25 kept"
    assert second == (
        "50 read, 49 extracted, 44 kept"
        "  extraction -1  language -1  paragraphs -1  gopher_quality -1  gopher_repetition -1"
        "  decontamination -1"
    )
    assert written.startswith("50 read, 49 extracted, 42 kept  deduplication -2  extraction -1")


def test_equal_inputs_give_equal_bytes_and_resume_does_too(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        store = Store(tmp_path / name)
        raw = publish_raw(store, rows(), 7)
        digests.add(digest_of(manifest_of(clean(store, raw).folder)))
    judged = store.disk / "work" / "clean" / "scratch" / "judged"
    kept = judged / "000000" / "judged.parquet"
    before = kept.stat().st_mtime_ns
    for path in sorted(judged.iterdir())[3:]:
        shutil.rmtree(path)
    digests.add(digest_of(manifest_of(clean(store, raw).folder)))
    assert kept.stat().st_mtime_ns == before
    assert len(digests) == 1


def test_a_corrupt_shard_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    workspace = store.workspace("raw")
    (workspace.out / "documents").mkdir()
    (workspace.out / "documents" / "00000.parquet").write_bytes(b"PAR1 not quite")
    (workspace.out / "sources.json").write_text("{}")
    raw = store.publish(RawCorpus, Draft(workspace.out, {}))
    with pytest.raises(TableError, match=r"00000\.parquet is no readable parquet file"):
        clean(store, raw)


def test_a_shard_that_breaks_its_promise_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    workspace = store.workspace("raw")
    (workspace.out / "documents").mkdir()
    row = {**document("a", prose(1)), "domain": "Poetry!"}
    pl.DataFrame([row]).write_parquet(workspace.out / "documents" / "00007.parquet")
    (workspace.out / "sources.json").write_text("{}")
    raw = store.publish(RawCorpus, Draft(workspace.out, {}))
    with pytest.raises(
        TableError, match=r"00007\.parquet breaks Document: .*Poetry!.*domain.*'index': 0"
    ):
        clean(store, raw)


def test_nothing_left_is_an_error_that_says_why(tmp_path: Path) -> None:
    store = Store(tmp_path)
    raw = publish_raw(store, [document("a", "x"), document("b", "y")], 10)
    with pytest.raises(ValueError, match=r"no document is left \(no_text: 2\): relax"):
        clean(store, raw)


def test_rules_are_the_domains_own(tmp_path: Path) -> None:
    store = Store(tmp_path)
    raw = publish_raw(store, rows(), 100)
    free = DomainRules(language=False, quality=None, repetition=None, near_duplicates=False)
    config = CONFIG.model_copy(update={"knowledge": free})
    draft = clean_documents(config, [], raw, store.workspace("free"))
    reasons = {str(row["reason"]) for row in read_folder(draft.folder / "rejects")}
    assert reasons == {"no_text", "exact_duplicate"}
    own = CleanConfig.model_validate(
        {"web": free, "domains": {"poems": free, "notes": "knowledge"}}
    )
    assert own.rules_for("poems") == own.rules_for("unnamed") == own.web == free
    assert own.rules_for("notes") == own.knowledge


def test_what_is_evaluated_is_taken_out(tmp_path: Path) -> None:
    from k2core.problems import held_out_problems

    problems = ProblemsConfig()
    asked = next(
        message.content
        for problem in held_out_problems(problems)
        for message in problem.messages
        if message.role == "user" and len(message.content.split()) > 8
    )
    store = Store(tmp_path)
    raw = publish_raw(
        store, [document("leak", prose(1) + "\n\n" + asked), document("b", prose(2))], 9
    )
    draft = clean_corpus(CleanConfig(), problems, raw, store.workspace("clean"), Placement())
    assert [row["path"] for row in read_folder(draft.folder / "kept")] == ["b"]
    assert set(read_folder(draft.folder / "kept")[0]) == set(Document.to_schema().columns)


def test_a_shard_is_full_at_so_many_bytes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    config = CONFIG.model_copy(update={"shard_bytes": 2000})
    draft = clean_documents(config, HELD_OUT, publish_raw(store, rows(), 7), store.workspace("a"))
    names = ("kept", "rejects")
    for decisions in sorted((draft.folder / "decisions").iterdir()):
        tables = [draft.folder / name / decisions.name for name in names]
        texts = [t for path in tables if path.exists() for t in pl.read_parquet(path)["text"]]
        assert sum(len(text.encode()) for text in texts) < 2000 + max(map(len, texts))
    assert [d["path"] for d in read_folder(draft.folder / "decisions")] == [
        row["path"] for row in rows()
    ]
