import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from k2core.rephrase import rephrase_corpus
from k2core.rephrase.rephraser import find_rephraser
from k2core.rephrase.styles import load_styles
from k2core.store import Draft, Store, digest_of, manifest_of
from k2core.tables import list_shards, read_shard
from schemas.corpus import Rewrite, RewriteReject
from schemas.placement import Placement
from schemas.rephrase import FidelityConfig, RephraseConfig
from tests.k2core.rephrase.lighthouses import (
    PLACES,
    Writer,
    config_for,
    faithful,
    original,
    publish_clean,
    read_folder,
)

Rephrase = Callable[..., Draft]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def rephrase(store: Store, rephraser: Path, monkeypatch: pytest.MonkeyPatch) -> Rephrase:
    """The whole stage, with an engine instead of vLLM."""

    def run(
        engine: Writer | None, key: str = "rephrase", shards: int = 3, **changes: object
    ) -> Draft:
        started = iter([engine] if engine else [])
        monkeypatch.setattr("k2core.rephrase.start.start_engine", lambda *_: next(started))
        config = config_for(rephraser, **changes)
        return rephrase_corpus(
            config, publish_clean(store, 8, shards), Placement(), store.workspace(key)
        )

    return run


def digest(draft: Draft) -> str:
    return digest_of(manifest_of(draft.folder))


def test_what_is_faithful_is_kept_with_its_parent(
    store: Store, rephrase: Rephrase, rephraser: Path
) -> None:
    draft = rephrase(Writer(rephraser))
    kept, clean = read_folder(draft.folder / "kept"), store.open(publish_clean(store))
    texts = {original(n): faithful(n) for n in range(len(PLACES))}
    parents = {row["path"]: row for row in read_folder(clean / "kept")}
    assert len(kept) == 6
    for row in kept:
        path, _, prompt_id = row["path"].partition("#")
        parent = parents[path]
        assert row["text"] == texts[parent["text"]]
        assert (row["parent_id"], row["prompt_id"]) == (parent["doc_id"], prompt_id)
        assert (row["license"], row["source"]) == ("CC-BY-SA-4.0", "sea")
        assert json.loads(row["scores"])["numbers_kept"] == 1
    assert {row["doc_id"] for row in kept}.isdisjoint(p["doc_id"] for p in parents.values())
    assert draft.counts["rewrites"] == 6
    assert draft.counts["rejects"] == draft.counts["not_begun"] == 0
    assert draft.counts["words"] == sum(len(row["text"].split()) for row in kept)


def test_what_is_not_faithful_is_kept_apart_with_the_reason(
    rephrase: Rephrase, rephraser: Path
) -> None:
    answers = {original(n): faithful(n) for n in range(8)}
    answers |= {original(n): answers[original(n)].replace("metres", "of 99 metres") for n in (0, 1)}
    answers[original(2)] = original(2)
    draft = rephrase(Writer(rephraser, answers), documents={"knowledge": 8})
    rejects = {
        row["path"].split("#")[0]: row["reason"] for row in read_folder(draft.folder / "rejects")
    }
    assert rejects == {"d0": "invents_numbers", "d1": "invents_numbers", "d2": "copies_the_source"}
    assert len(read_folder(draft.folder / "kept")) == draft.counts["rewrites"] == 5


@pytest.mark.parametrize("good", [True, False])
def test_tables_keep_their_promise_even_empty(
    rephrase: Rephrase, rephraser: Path, good: bool
) -> None:
    answers = {original(n): faithful(n) if good else "No." for n in range(8)}
    folder = rephrase(Writer(rephraser, answers)).folder
    tables = {"kept": Rewrite, "rejects": RewriteReject}
    rows = {
        name: sum(len(read_shard(path, kind)) for path in list_shards(folder / name))
        for name, kind in tables.items()
    }
    assert rows == {"kept": 6 if good else 0, "rejects": 0 if good else 6}


def test_sources_name_the_licences_of_texts_and_model(rephrase: Rephrase, rephraser: Path) -> None:
    engine = Writer(rephraser)
    folder = rephrase(engine, model_license="Apache-2.0").folder
    sources = json.loads((folder / "sources.json").read_text())
    assert sources.keys() == {"sea", str(rephraser)}
    assert sources["sea"]["license"] == "CC-BY-SA-4.0"
    model = sources[str(rephraser)]
    assert (model["license"], model["version"]) == ("Apache-2.0", engine.weights)


def test_equal_inputs_give_equal_bytes_however_they_are_sharded(
    rephrase: Rephrase, rephraser: Path
) -> None:
    drafts = [rephrase(Writer(rephraser), f"run{size}", size) for size in (1, 3, 8)]
    assert len({digest(draft) for draft in drafts}) == 1
    other = rephrase(Writer(rephraser), "other", seed=1)
    assert digest(other) != digest(drafts[0])


def test_a_failed_run_goes_on_after_the_last_whole_document(
    rephrase: Rephrase, rephraser: Path
) -> None:
    whole = Writer(rephraser)
    wanted = digest(rephrase(whole, "whole"))
    failed = Writer(rephraser, max_answers=3)  # in the midst of the second group
    with pytest.raises(ConnectionError):
        rephrase(failed, "failed")
    rest = Writer(rephraser)
    assert digest(rephrase(rest, "failed")) == wanted
    assert rest.prompts == whole.prompts[3:]
    assert digest(rephrase(None, "failed")) == wanted  # no engine is started for nothing


def test_the_cap_is_never_passed_and_what_was_begun_is_whole(
    rephrase: Rephrase, rephraser: Path
) -> None:
    drafts = {}
    for cap in (1, 450, 900, 1300, 10**9):
        engine = Writer(rephraser)
        draft = drafts[cap] = rephrase(engine, f"cap{cap}", max_tokens_spent=cap)
        begun = len(engine.prompts)
        assert draft.counts["rewrites"] == begun
        assert draft.counts["not_begun"] == 6 - begun
        assert draft.counts["tokens_written"] <= cap
        texts = {row["text"] for row in read_folder(draft.folder / "kept")}
        assert texts <= {faithful(n) for n in range(len(PLACES))}
        # The room of a whole document: 16 tokens and 1.6 times the chunk's.
        left = cap - sum(len(faithful(0)) + 1 for _ in range(begun))
        assert begun == 6 or left < 16 + 1.6 * max(map(len, map(original, range(8))))
    counts = [draft.counts["rewrites"] for draft in drafts.values()]
    assert counts[0] == 0
    assert counts[-1] == 6
    assert counts == sorted(counts)
    assert len(set(counts)) > 3
    again = rephrase(None, "cap900", max_tokens_spent=900)  # as it was kept, without an engine
    assert digest(again) == digest(drafts[900])


def test_several_rewrites_of_a_document_differ_in_style(
    rephrase: Rephrase, rephraser: Path
) -> None:
    rows = read_folder(rephrase(Writer(rephraser), rewrites_per_document=2).folder / "kept")
    assert len({row["doc_id"] for row in rows}) == 12
    assert len({(row["parent_id"], row["prompt_id"]) for row in rows}) == 12
    assert len({row["parent_id"] for row in rows}) == 6


def test_every_style_fits_some_domain_and_is_short() -> None:
    styles = load_styles()
    assert len({style.prompt_id for style in styles}) == len(styles) > 9
    assert {d for style in styles for d in style.domains} == {"knowledge", "web", "math"}
    assert all(0 < len(style.instruction.split()) < 30 for style in styles)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"styles": ("sonnet",)}, r"unknown \['sonnet'\]; there are"),
        ({"styles": ("learning_note",)}, r"0 of the styles .* fit knowledge text"),
        ({"styles": ("plain",), "rewrites_per_document": 2}, "to be rewritten 2 times"),
        ({"documents": {"math": 3}}, r"asks for 3 of math, and 3 shards .* 15 to 80 words"),
        ({"min_words": 70}, r"none of 70 to 80 words"),
    ],
)
def test_what_the_corpus_does_not_allow_is_said_before_an_engine_starts(
    rephrase: Rephrase, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rephrase(None, **changes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"documents": {"Poetry!": 1}}, "String should match pattern"),
        ({"documents": {"math": 1, "web": -1}}, "counts of at least 0"),
        ({"min_words": 200}, "min_words=200 exceeds max_words=80"),
        ({"max_model_len": 300}, r"max_model_len=300 is too short .* 466 would do"),
        ({"temprature": 1}, "Extra inputs"),
    ],
)
def test_a_config_that_cannot_work_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RephraseConfig.model_validate(values)


def test_limits_of_length_must_rise() -> None:
    with pytest.raises(ValidationError, match="must rise"):
        FidelityConfig(length_ratio=(2.0, 1.0))


@pytest.mark.parametrize("model", ["package:unheard-of", "./nowhere", "/nowhere", "word"])
def test_an_unknown_model_is_named_before_a_download(model: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder, no hub id \(OWNER/NAME\)"):
        find_rephraser(model, tmp_path)
