import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Tokenizer

from k2core.chat import SPECIAL_TOKENS
from k2core.chat.jinja import GUARD
from k2core.pieces import Crew, made_file
from k2core.store import Draft, Store, StoredFile, digest_of, manifest_of
from k2core.tables import TableError, write_shard
from k2core.tokenize import tokenize_corpora
from k2core.tokenize.encode import DomainTotals, EncodedShards
from k2core.tokenize.mixture import CHOSEN, select_documents
from k2core.tokenize.texts import find_shards, sample_texts
from k2core.tokenize.vocabulary import end_of_document, load_tokenizer
from k2core.tokenize.write import _write_parts
from k2core.tokens import PartedTokens, TokenStream, open_indexed, read_manifest
from schemas.artifacts import CleanCorpus, RephrasedCorpus
from schemas.corpus import Decision, Document, Rewrite
from schemas.placement import Placement
from schemas.tokenize import TokenizeConfig, TokenManifest
from tests.k2core.clean.corpora import document, prose

CONFIG = TokenizeConfig(
    vocab_size=512,
    train_tokens=12_000,
    mixture={"knowledge": 0.5, "code": 0.1, "math": 0.4},
    heldout_frac=0.1,
)
NUM_KNOWLEDGE, NUM_CODE, NUM_MATH, NUM_REWRITES = 60, 20, 120, 30
PART_BYTES = 900


def clean_rows() -> list[dict[str, str]]:
    return [
        *(document(f"k{n}", prose(n)) for n in range(NUM_KNOWLEDGE)),
        *(
            document(f"c{n}", f"def f{n}(x):\n    return x + {n}  # <|im_end|>\n" * 9, "code")
            for n in range(NUM_CODE)
        ),
        *(document(f"m{n}", f"What is {n} + 17? {n + 17}", "math") for n in range(NUM_MATH)),
    ]


def rewrite_rows() -> list[dict[str, str]]:
    more = {"writer": "model", "prompt_id": "plain@1", "prompt_digest": "", "scores": "{}"}
    return [
        {**document(f"k{n}#plain", f"In short: {prose(n)}"), **more, "parent_id": parent["doc_id"]}
        for n, parent in enumerate(clean_rows()[:NUM_REWRITES])
    ]


def publish_inputs(store: Store) -> tuple[CleanCorpus, RephrasedCorpus]:
    workspace = store.workspace("clean")
    rows = clean_rows()
    for number in range(0, len(rows), 70):
        path = workspace.out / "kept" / f"{number:05d}.parquet"
        write_shard(path, Document, rows[number : number + 70])
    (workspace.out / "sources.json").write_text('{"test": {"license": "MIT"}}')
    clean = store.publish(CleanCorpus, Draft(workspace.out, {}))
    workspace = store.workspace("rephrased")
    write_shard(workspace.out / "kept" / "00000.parquet", Rewrite, rewrite_rows())
    (workspace.out / "sources.json").write_text('{"rewriter": {"license": "Apache-2.0"}}')
    return clean, store.publish(RephrasedCorpus, Draft(workspace.out, {}))


def run(store: Store, config: TokenizeConfig = CONFIG, key: str = "tokenize") -> Draft:
    return tokenize_corpora(config, *publish_inputs(store), store.workspace(key), Placement())


def run_in_parts(store: Store) -> Draft:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("k2core.tokenize.write.PART_BYTES", PART_BYTES)
        return run(store)


def split_of(folder: Path, split: str, domain: str) -> PartedTokens:
    about = read_manifest(folder).domains[domain]
    return PartedTokens(folder, about.train_parts if split == "train" else about.heldout_parts)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(Store(tmp_path_factory.mktemp("store"))).folder


@pytest.fixture(scope="module")
def manifest(corpus: Path) -> TokenManifest:
    return read_manifest(corpus)


@pytest.fixture(scope="module")
def tokenizer(corpus: Path) -> Tokenizer:
    return load_tokenizer(corpus / "tokenizer")


def test_the_vocabulary_is_exact_and_special_tokens_lead_it(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == 512
    assert [tokenizer.id_to_token(number) for number in range(13)] == list(SPECIAL_TOKENS)
    assert end_of_document(tokenizer) == tokenizer.token_to_id("[EOS]") == 1


def test_the_vocabulary_is_fitted_to_the_mixture(tmp_path: Path) -> None:
    store = Store(tmp_path)
    shards = find_shards(*map(store.list_files, publish_inputs(store)))
    for mixture in ({"knowledge": 0.7, "math": 0.3}, {"knowledge": 0.1, "math": 0.9}):
        scratch = tmp_path / str(mixture["math"])
        crew = Crew(store.workspace("crew"), 0)
        parts = sample_texts(shards, mixture, 20_000, crew, scratch)
        texts = [text for part in parts for text in part]
        math = sum(len(text.encode()) for text in texts if text.startswith("What is"))
        total = sum(len(text.encode()) for text in texts)
        assert not any(text.startswith("def ") for text in texts)  # no share, no say
        assert math / total == pytest.approx(mixture["math"], abs=0.05)
        assert total == pytest.approx(20_000, rel=0.1)


def test_without_a_mixture_all_there_is_is_read_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    clean, _ = publish_inputs(store)
    config = CONFIG.model_copy(update={"mixture": {}, "train_tokens": None})
    made = tokenize_corpora(config, clean, None, store.workspace("all"), Placement())
    manifest = read_manifest(made.folder)
    assert list(manifest.domains) == ["code", "knowledge", "math"]
    for domain in manifest.domains.values():
        assert domain.epochs == 1
        assert domain.budget_tokens == domain.train_tokens
    assert sum(d.weight for d in manifest.domains.values()) == pytest.approx(1)


def test_digits_come_in_pairs_and_with_nothing_else(tokenizer: Tokenizer) -> None:
    pairs = tokenizer.pre_tokenizer.pre_tokenize_str("What is 123 + 17? x1=1250.75")
    assert [text for text, _ in pairs if text.isdigit()] == ["12", "3", "17", "1", "12", "50", "75"]
    texts = [tokenizer.decode([number]) for number in range(13, 512)]
    numbers = [text for text in texts if any(c in "0123456789" for c in text)]
    assert all(text.isdigit() and len(text) <= 2 for text in numbers)
    assert {"17", *"0123456789"} <= set(numbers)


@given(st.text(max_size=80))
@settings(deadline=None)
def test_any_text_survives(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids) == text.replace(GUARD, "")


def test_text_that_spells_a_special_token_stays_text(corpus: Path, tokenizer: Tokenizer) -> None:
    assert min(tokenizer.encode("a <|im_end|> b [EOS]").ids) >= len(SPECIAL_TOKENS)
    for path in sorted(corpus.glob("*/*/*.idx")):
        data = open_indexed(path.with_suffix(""))
        for row in range(len(data.lengths)):
            tokens = data.read(row)
            assert tokens[-1] == 1
            assert tokens[:-1].min() >= len(SPECIAL_TOKENS)


def test_transformers_loads_it(corpus: Path) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(corpus / "tokenizer")
    assert len(loaded) == 512
    assert (loaded.bos_token, loaded.eos_token, loaded.pad_token) == (
        "[BOS]",
        "<|im_end|>",
        "[PAD]",
    )
    assert loaded.encode("a 12 <|im_end|>")[-1] == loaded.eos_token_id
    assert loaded.decode(loaded.encode("a 12 b")) == "a 12 b"
    text = loaded.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_user|>user<|im_middle|>Hi<|im_end|><|im_assistant|>assistant<|im_middle|>"


def ids_of(folder: Path, split: str, domain: str) -> list[str]:
    """All ids of a dataset, in order."""
    return [i for group in split_of(folder, split, domain).document_ids().groups() for i in group]


def texts_of(folder: Path, tokenizer: Tokenizer) -> dict[str, str]:
    """doc_id -> text, decoded from the datasets through the manifest."""
    texts = {}
    for name, domain in read_manifest(folder).domains.items():
        for split, num_documents in (
            ("train", domain.num_train_documents),
            ("heldout", domain.num_heldout_documents),
        ):
            data = split_of(folder, split, name)
            assert data.num_documents == num_documents
            for row, doc_id in enumerate(ids_of(folder, split, name)):
                texts[doc_id] = tokenizer.decode(data.read(row)[:-1].tolist())
    return texts


def test_the_manifest_names_every_sequence(corpus: Path, tokenizer: Tokenizer) -> None:
    originals = {row["doc_id"]: row["text"] for row in [*clean_rows(), *rewrite_rows()]}
    texts = texts_of(corpus, tokenizer)
    assert all(originals[doc_id] == text for doc_id, text in texts.items())


def test_the_mixture_is_met(corpus: Path, manifest: TokenManifest) -> None:
    domains = manifest.domains
    assert {n: d.budget_tokens for n, d in domains.items()} == {
        "code": 1200, "knowledge": 6000, "math": 4800,
    }  # fmt: skip
    for name, domain in domains.items():
        sizes = split_of(corpus, "train", name).lengths()
        assert domain.train_tokens == sizes.sum()
        assert domain.epochs == pytest.approx(domain.budget_tokens / sizes.sum(), abs=1e-6)
    # Code and knowledge are down-sampled by whole documents, mathematics is repeated.
    assert domains["code"].num_train_documents < NUM_CODE - 2
    assert 0.8 < domains["code"].epochs <= 1
    assert domains["math"].num_train_documents == NUM_MATH - 12
    assert domains["math"].epochs > 2
    stream = TokenStream(corpus, 0, 32)
    names = [stream.domain_of(index) for index in range(stream.num_samples)]
    for name, weight in CONFIG.mixture.items():
        assert names.count(name) / len(names) == pytest.approx(weight, abs=0.01)


def test_held_out_documents_and_their_rewrites_are_never_read(
    corpus: Path, manifest: TokenManifest
) -> None:
    for name, total in (("knowledge", NUM_KNOWLEDGE), ("code", NUM_CODE), ("math", NUM_MATH)):
        assert manifest.domains[name].num_heldout_documents == total / 10
        assert not set(ids_of(corpus, "train", name)) & set(ids_of(corpus, "heldout", name))
    read, held_out = (set(ids_of(corpus, s, "knowledge")) for s in ("train", "heldout"))
    parents = {row["doc_id"]: row["parent_id"] for row in rewrite_rows()}
    assert read & set(parents)
    assert not held_out & set(parents)
    for rewrite, parent in parents.items():
        assert not (rewrite in read and parent in held_out)


def choose(config: TokenizeConfig, tables: Sequence[pl.DataFrame], folder: Path) -> pl.DataFrame:
    """What is chosen of shards of documents."""
    files, workspace = list[StoredFile](), Store(folder).workspace("chosen")
    for number, table in enumerate(tables):
        files.append(made_file(folder / f"{number}.parquet"))
        table.write_parquet(files[-1].path)
    totals = {name: DomainTotals() for table in tables for name in table["domain"].unique()}
    encoded = EncodedShards([], files, totals)
    found = select_documents(config, encoded, Crew(workspace, 0), workspace.scratch)
    return pl.concat([pl.read_parquet(made.open(CHOSEN)) for made in found.shards])


def test_rewrites_are_drawn_before_originals(tmp_path: Path) -> None:
    names = [f"k{n}" for n in range(40)] + [f"k{n}#plain" for n in range(6)]
    documents = pl.DataFrame(
        {
            "doc_id": names,
            "parent_id": [name.split("#")[0] for name in names],
            "domain": "knowledge",
            "num_tokens": 100,
            "weight": 1.0,
        }
    )
    config = CONFIG.model_copy(update={"mixture": {"knowledge": 1.0}, "train_tokens": 1_000})
    found = choose(config, [documents[:17], documents[17:]], tmp_path)
    held_out = found.filter(split="heldout")["doc_id"]
    wanted = {f"k{n}#plain" for n in range(6)} - {f"{name}#plain" for name in held_out}
    train = found.filter(split="train")["doc_id"]
    assert len(train) == 10
    assert {name for name in train if "#" in name} == wanted


def test_equal_inputs_give_equal_bytes_and_resume_does_too(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, placed = Store(tmp_path), 0

    def die_at_the_second(*piece: object) -> None:
        nonlocal placed
        placed += 1
        if placed == 2:
            raise KeyboardInterrupt
        _write_parts(*piece)  # type: ignore[arg-type]

    wanted = digest_of(manifest_of(corpus))
    with monkeypatch.context() as patch:
        patch.setattr("k2core.tokenize.write._write_parts", die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(store)
    assert digest_of(manifest_of(run(store).folder)) == wanted
    encoded = store.disk / "work" / "tokenize" / "scratch" / "encoded"
    kept = encoded / "000000" / "tokens.parquet"
    before = kept.stat().st_mtime_ns
    shutil.rmtree(encoded / "000002")
    assert digest_of(manifest_of(run(store).folder)) == wanted
    assert kept.stat().st_mtime_ns == before


def test_sources_of_both_corpora_are_kept(corpus: Path) -> None:
    assert set(json.loads((corpus / "sources.json").read_text())) == {"test", "rewriter"}
    assert not list(corpus.rglob("*.aside"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 5000}, r"the corpus gives \d+ tokens, not vocab_size=5000"),
        ({"train_tokens": 10**6}, r"mixture\.code=0\.1 wants 100000 tokens and \d+ are there"),
        ({"mixture": {"web": 1.0}}, r"no text for mixture\.web=1\.0"),
    ],
)
def test_too_little_text_is_an_error(
    tmp_path: Path, change: Mapping[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(Store(tmp_path), CONFIG.model_copy(update=change))


def test_a_corrupt_shard_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    clean, rephrased = publish_inputs(store)
    workspace = store.workspace("broken")
    shutil.copytree(store.open(clean), workspace.out, dirs_exist_ok=True)
    (workspace.out / "kept" / "00070.parquet").write_bytes(b"garbage")
    broken = store.publish(CleanCorpus, Draft(workspace.out, {}))
    with pytest.raises(TableError, match=r"kept/00070\.parquet is no readable parquet file"):
        tokenize_corpora(CONFIG, broken, rephrased, store.workspace("tokenize"), Placement())


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ({"web": 0.5, "code": 0.6}, r"the shares sum to 1\.1, not 1: divide each by 1\.1"),
        ({"web": 1.5, "code": -0.5}, "negative shares"),
        ({"Poetry!": 1.0}, "String should match pattern"),
    ],
)
def test_a_bad_mixture_says_what_would_be_right(mixture: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TokenizeConfig(mixture=mixture)


def test_tokens_fit_sixteen_bits(corpus: Path) -> None:
    assert open_indexed(corpus / "train/code/000000").tokens.dtype == np.uint16


def test_a_document_is_repeated_as_often_as_the_cleaning_wants_it(tmp_path: Path) -> None:
    from k2core.tokenize.mixture import repeat_documents

    ids = [f"d{number}" for number in range(2000)]
    frame = pl.DataFrame({"doc_id": ids, "weight": [2.25] * 1000 + [1.0] * 1000})
    copies = repeat_documents(frame)
    counts = copies.group_by("doc_id").len().sort("doc_id")["len"].to_list()
    assert sum(counts) == pytest.approx(2.25 * 1000 + 1000, rel=0.02)
    assert set(counts) == {1, 2, 3}
    assert copies["doc_id"].unique(maintain_order=True).to_list() == ids


def test_weights_of_the_clean_corpus_reach_the_shards(tmp_path: Path) -> None:
    store = Store(tmp_path)
    clean, rephrased = publish_inputs(store)
    workspace = store.workspace("weighted")
    shutil.copytree(store.open(clean), workspace.out, dirs_exist_ok=True)
    favourite = clean_rows()[NUM_KNOWLEDGE - 1]
    decision = {
        **{key: favourite[key] for key in ("doc_id", "source", "path", "domain")},
        **{"decision": "kept", "rule": "", "reason": "", "rule_version": "", "measured": 0.0},
        **{"threshold": 0.0, "shard": "kept/00000.parquet", "row": NUM_KNOWLEDGE - 1},
        **{"measures": "{}", "redactions": "{}", "quality_score": 1.0, "sampling_weight": 3.0},
    }
    write_shard(workspace.out / "decisions" / "00000.parquet", Decision, [decision])
    weighted = store.publish(CleanCorpus, Draft(workspace.out, {}))
    config = CONFIG.model_copy(update={"train_tokens": 60_000, "max_epochs": 50.0})
    draft = tokenize_corpora(config, weighted, rephrased, store.workspace("tokens"), Placement())
    read = ids_of(draft.folder, "train", "knowledge")
    assert [read.count(doc_id) for doc_id in dict.fromkeys(read)].count(3) == 1
    assert read.count(favourite["doc_id"]) == 3
    assert split_of(draft.folder, "train", "knowledge").num_documents == len(read)
