"""`k2 why`: documents kept, dropped and rewritten, and tokens, of a small run of real stages."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from k2core.clean import clean_documents
from k2core.clean.contamination import Question
from k2core.clean.verdict import VERSIONS
from k2core.store import Draft, Store
from k2core.tables import write_shard
from k2core.tokenize import tokenize_corpora
from k2core.tokens import PartedTokens, read_manifest
from schemas.artifacts import Checkpoint, CleanCorpus, RephrasedCorpus, TokenCorpus
from schemas.clean import CleanConfig
from schemas.corpus import Rewrite, RewriteReject
from schemas.endpoint import Endpoint
from schemas.errors import InputsError
from schemas.model import ModelShape
from schemas.optim import Schedule
from schemas.placement import Placement
from schemas.pretrain import Phase, PretrainConfig
from schemas.rephrase import RephraseConfig
from schemas.tokenize import TokenizeConfig
from tasks.store import open_store
from tests.k2core.clean.corpora import document, prose, publish_raw, read_folder
from tests.workflows.conftest import Record
from workflows.cli import app
from workflows.provenance import Corpora, list_corpora
from workflows.why import trace_token

CLEAN = CleanConfig()
PROBLEM = "If a train has 17 cars and loses 5 of them, how many of its cars remain?"
QUESTIONS = [Question("p1", PROBLEM)]
REPHRASE = RephraseConfig(
    endpoint=Endpoint(url="http://localhost:1/v1", model="big"),
    documents={"knowledge": 20},
    max_words=None,
)
TOKENIZE = TokenizeConfig(
    vocab_size=512, train_tokens=20_000, mixture={"knowledge": 0.8, "math": 0.2}, heldout_frac=0.1
)
PRETRAIN = PretrainConfig(
    schedule=Schedule(num_steps=60),
    phases=(Phase(name="long", num_steps=14, lr=1e-3, final_lr=0, sequence_length=128),),
    sequence_length=64,
    batch_size=4,
)

SHAPE = ModelShape(vocab_size=512).model_dump(mode="json")


def row_of(path: str) -> dict[str, str]:
    return document(path, ROWS[path], "math" if path.startswith("m") else "knowledge")


ROWS = {f"k{n}": prose(n) for n in range(50)}
ROWS |= {f"m{n}": f"Question: what is {n} + 17? Answer: {n + 17}" for n in range(90)}
ROWS |= {"short": "Nothing.", "copy": prose(3), "asked": prose(70) + " Ask jane@firm.org about it."}
ROWS["leak"] = prose(60) + f" {PROBLEM}"
RAW = [row_of(path) for path in ROWS]
ID = {row["path"]: row["doc_id"] for row in RAW}


def rewrite(parent: str, scores: dict[str, float]) -> dict[str, str]:
    row = document(f"{parent}#plain@1", f"In short: {ROWS[parent]}")
    more = {
        "writer": "model",
        "prompt_id": "plain@1",
        "prompt_digest": "",
        "scores": json.dumps(scores),
    }
    return {**row, **more, "parent_id": ID[parent]}


KEPT = rewrite("k5", {"numbers_kept": 1.0, "aligned": 0.97, "translated": 0.0})
REJECT = rewrite("k5", {"numbers_kept": 1.0, "numbers_invented": 2.0, "translated": 0.0})
REJECT |= {"doc_id": "f" * 16, "reason": "invents_numbers"}


def publish_rewrites(store: Store) -> RephrasedCorpus:
    workspace = store.workspace("rephrased")
    write_shard(workspace.out / "kept" / "00000.parquet", Rewrite, [KEPT])
    write_shard(workspace.out / "rejects" / "00000.parquet", RewriteReject, [REJECT])
    (workspace.out / "sources.json").write_text("{}")
    return store.publish(RephrasedCorpus, Draft(workspace.out, {}))


@pytest.fixture(scope="module", autouse=True)
def folder(home: Path, record: Record) -> Iterator[Path]:
    """The token corpus of a run `old-1`, and `new-1`, which has come as far as the cleaning."""
    open_store.cache_clear()
    store = open_store()
    raw = publish_raw(store, RAW, 40)
    draft = clean_documents(CLEAN, QUESTIONS, raw, store.workspace("clean"))
    clean = store.publish(CleanCorpus, draft)
    rewrites = publish_rewrites(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("k2core.tokenize.write.PART_BYTES", 3_000)
        workspace = store.workspace("tokenize")
        draft = tokenize_corpora(TOKENIZE, clean, rewrites, workspace, Placement())
    tokens = store.publish(TokenCorpus, draft)
    base = Checkpoint(digest="sha256:" + "b" * 64)
    configs = {
        name: config.model_dump(mode="json")
        for name, config in {"c": CLEAN, "r": REPHRASE, "t": TOKENIZE, "p": PRETRAIN}.items()
    }
    record("old-1", "clean", {"raw": raw}, {"clean_corpus": clean}, config=configs["c"])
    record(
        "old-1", "rephrase", {"clean": clean}, {"rephrased_corpus": rewrites}, config=configs["r"]
    )
    texts = {"clean": clean, "rephrased": rewrites}
    record("old-1", "tokenize", texts, {"token_corpus": tokens}, config=configs["t"])
    record(
        "old-1",
        "pretrain",
        {"tokens": tokens},
        {"checkpoint": base},
        config=configs["p"],
        shape=SHAPE,
    )

    other = publish_raw(store, [*RAW[:9], document("fresh", prose(99))], 41)
    draft = clean_documents(CLEAN, [], other, store.workspace("clean2"))
    newer = store.publish(CleanCorpus, draft)
    record("new-1", "clean", {"raw": other}, {"clean_corpus": newer}, config=configs["c"])
    yield store.open(tokens)
    open_store.cache_clear()


def why(*arguments: str) -> str:
    shown = CliRunner().invoke(app, ["why", *arguments])
    assert shown.exit_code == 0, (shown.exception, shown.stderr)
    return shown.stdout


def fails(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["why", *arguments])
    assert result.exit_code == 2, result.exception
    assert result.stderr.startswith("error: ")
    return result.stderr


def test_a_dropped_document_says_by_which_rule_and_measure() -> None:
    shown = why(ID["short"])
    assert f"{ID['short']} in run old-1" in shown
    assert (
        f"dropped by extraction version {VERSIONS['extraction']}: no_text, measured 8, threshold 20"
        in shown
    )
    assert "short of test" in shown
    told = json.loads(why(ID["short"], "--json"))
    assert told["answer"] in shown
    lines = [line for section in told["sections"] for line in section["lines"]]
    assert lines
    assert [line for line in lines if line not in shown] == []
    assert "licence MIT" in shown
    assert re.search(r"lies in rejects/00000\.parquet, row \d+, of clean_corpus \w{12}", shown)
    assert "tokenize" not in shown
    copied = why(ID["copy"])
    assert re.search(r"deduplication version \d: exact_duplicate, measured 1, thresh", copied)
    assert f"it repeats {ID['k3']}" in copied
    assert re.search(r"it holds \d+% of held-out problem p1: 'if a train has", why(ID["leak"]))


def test_a_kept_document_says_what_came_nearest_and_where_it_went() -> None:
    shown = why(ID["asked"])
    assert re.search(r"kept; it came nearest to \w+ version \d: \w+, measured \S+, thresh", shown)
    assert "redacted email 1" in shown
    assert re.search(r"(train|heldout)/knowledge, tokens \d+ to \d+ \(sequence \d+\)", shown)
    drawn = "20 documents of the domain knowledge are drawn by seed 0, not it"
    begun = "it was drawn, but max_tokens_spent=12000 left no room for it"
    assert drawn in shown or begun in shown
    assert "not rewritten: no document of the domain math is rewritten" in why(ID["m7"])


def test_a_rewritten_document_shows_chunks_scores_and_refusals() -> None:
    shown = why(ID["k5"], "--from", "old")
    assert re.search(r"by big, in \d+ chunks of at most 64 tokens", shown)
    assert f"{KEPT['doc_id']} in style plain@1: kept" in shown
    assert "aligned 0.97, at least 0.9" in shown
    assert f"{REJECT['doc_id']} in style plain@1: rejected: invents_numbers" in shown
    assert "  numbers_invented 2, at most 0: invents_numbers; numbers_kept 1" in shown
    assert re.search(rf"{KEPT['doc_id']} \(rewrite\): (train/know|in no shard; its orig)", shown)


def test_a_rewrite_leads_to_its_parent() -> None:
    shown = why(KEPT["doc_id"][:8])
    assert f"a rewrite of {ID['k5']}" in shown
    assert "kept; it came nearest to" in shown
    assert f"a rewrite of {ID['k5']}" in why("ffff")
    assert "tokenize" not in why("ffff")


@pytest.mark.parametrize("replay", [(), ("--replay",)])
def test_a_token_is_traced_and_verified(folder: Path, replay: tuple[str, ...]) -> None:
    parts = read_manifest(folder).domains["knowledge"].train_parts
    assert len(parts) > 3
    data = PartedTokens(folder, parts)
    row = parts[0].num_documents  # the second part begins with it
    doc_id, start, length = data.document_ids()[row], data.start(row), data.length(row)
    shown = why("--token", f"knowledge:{start + 2}", *replay)
    assert f"token 2 of the {length} of document {doc_id}" in shown
    assert ("replayed from config and texts" in shown) == bool(replay)
    assert f"lies in train/knowledge, tokens {start} to {start + length - 1}" in shown
    assert re.search(r"its token 2 is read \d times: step \d+ row \d column \d+", shown)
    assert "gopher_" in shown


def test_a_domain_in_one_part_has_the_same_answers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old,), store = list_corpora("old"), open_store()
    clean = CleanCorpus.model_validate(old.artifacts["clean_corpus"].model_dump())
    rewrites = RephrasedCorpus.model_validate(old.artifacts["rephrased_corpus"].model_dump())
    whole = tokenize_corpora(TOKENIZE, clean, rewrites, store.workspace("whole"), Placement())
    about = read_manifest(whole.folder).domains
    assert {len(domain.train_parts) for domain in about.values()} == {1}
    tokens = [
        (f"train/{name}", offset)
        for name, domain in about.items()
        for offset in range(0, domain.train_tokens, 997)
    ]
    answers = [trace_token(old, *token, replay=False) for token in tokens]
    opened = Corpora.folder
    monkeypatch.setattr(
        Corpora,
        "folder",
        lambda self, kind: whole.folder if kind == "token_corpus" else opened(self, kind),
    )
    assert [trace_token(old, *token, replay=False) for token in tokens] == answers
    assert len(answers) > 10


def test_tokens_of_other_code_hide_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise InputsError("manifest.json: written by other code")

    monkeypatch.setattr("workflows.story.read_orders", refuse)
    shown = why(ID["k2"], "--from", "old")
    assert "kept; it came nearest to" in shown
    assert "tokenize  manifest.json: written by other code" in shown
    assert "written by other code" in fails("--token", "math:5")


def test_the_newest_run_that_has_it_answers() -> None:
    assert "in run new-1" in why(ID["k2"])
    assert "in run old-1" in why(ID["k2"], "--from", "old")
    assert "in run old-1" in why(ID["m2"])


def test_what_is_wrong_is_said() -> None:
    typo = ID["k5"][:-1] + ("0" if ID["k5"][-1] != "0" else "1")
    assert f"no document {typo!r} in 2 runs" in fails(typo)
    assert f"near it are {ID['k5']} (k5)" in fails(typo, "--from", "old")
    assert f"{ID['asked']} (asked)" in fails("sked", "--from", "old")
    assert f"{ID['asked']} in run old-1" in why("asked", "--from", "old")
    assert "nor one near it; ids are like" in fails("zzzz")
    assert "documents of run new-1 begin with ''" in fails("")
    assert "no run 'older' with a clean corpus; the newest are: new-1, old-1" in fails(
        "aa", "--from", "older"
    )
    assert "say either a document's id or --token" in fails()
    assert "say either a document's id or --token" in fails("aa", "--token", "web:1")
    assert "it goes with --token" in fails("aa", "--replay")
    assert "write SHARD:OFFSET" in fails("--token", "web")
    assert "no shard 'train/web'; there are heldout/knowledge" in fails("--token", "web:1")
    assert "train/math has no token 99999999: its tokens are" in fails("--token", "math:99999999")
    assert "run new-1 has no tokens" in fails("--token", "math:1", "--from", "new")


def test_tokens_that_no_text_makes_are_found_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old,) = list_corpora("old")
    wrong = TOKENIZE.model_copy(update={"heldout_frac": 0.3}).model_dump(mode="json")
    made = old.maker_of("token_corpus")
    changed = made.model_copy(update={"configs": {"config": wrong}})
    monkeypatch.setattr(Corpora, "maker_of", lambda *_: changed)
    monkeypatch.setattr("workflows.why.list_corpora", lambda _: [old])
    message = fails("--token", "math:5", "--replay")
    assert "the documents are not those that config and corpora make" in message
    assert len(read_folder(old.folder("clean_corpus") / "decisions")) == len(RAW)
