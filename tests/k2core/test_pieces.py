"""Text in pieces: equal bytes for any number of workers, shards and disks."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from k2core.clean import Question, clean_documents
from k2core.engines.ray import spread
from k2core.engines.ray.spread import hold_workers
from k2core.ingest import ingest_sources
from k2core.store import Store
from k2core.store.bucket import Bucket, SentBytes
from k2core.tokenize import tokenize_corpora
from schemas.artifacts import CleanCorpus, RawCorpus, TokenCorpus
from schemas.clean import CleanConfig, Deduplication, DomainRules, RepeatedPassages
from schemas.ingest import FilesConfig, IngestConfig
from schemas.placement import Placement
from schemas.selection import Sampling
from schemas.tokenize import TokenizeConfig
from tests.k2core.clean.corpora import prose
from tests.s3 import S3

_FREE = DomainRules(language=False, quality=None, repetition=None)
_FOOTER = "Copyright 1999, the Makers of Harps. Would you like to hear more? Write to the address."
_CLEAN = CleanConfig(
    shard_documents=23,
    web=_FREE,
    deduplication=Deduplication(passages=RepeatedPassages(unit="line")),
    sampling=Sampling(scorers={"rules": 1.0}, domains=("web",), curve=((0.0, 0.5), (1.0, 1.0))),
)
_TOKENIZE = TokenizeConfig(
    vocab_size=400, train_tokens=4_000, mixture={"web": 1.0}, heldout_frac=0.1
)
_QUESTIONS = [Question("trains/1", "If a train has 17 cars and loses 5 of them how many remain?")]
_NUM_FILES = 4
_STAGES = ("ingest", "clean", "tokenize")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for number in range(_NUM_FILES):
        texts = [f"{prose(10 * number + n)}\n{_FOOTER}" for n in range(9)]
        texts.append(prose(3 * number) if number % 2 else _QUESTIONS[0].text + prose(900))
        lines = [json.dumps({"text": text}) for text in texts]
        (folder / f"{number}.jsonl").write_text("\n".join(["{no", *lines]))
    return folder


def make(files: Path, machines: dict[str, Store], num_workers: int, shard_bytes: int) -> list[str]:
    """Digests of what each stage makes, each on a machine of its own."""
    nums = {f"num_{n}": 0 for n in ("knowledge", "web", "code", "tool_specs", "math", "tables")}
    source = FilesConfig(folder=str(files), license="MIT")
    collected = IngestConfig.model_validate(
        {**nums, "files": source, "shard_bytes": shard_bytes, "shard_documents": 31}
    )
    place = Placement(data_workers=num_workers)
    store = machines["ingest"]
    raw = store.publish(RawCorpus, ingest_sources(collected, store.workspace("ingest"), place))
    store = machines["clean"]
    made = clean_documents(_CLEAN, _QUESTIONS, raw, store.workspace("clean"), num_workers)
    clean = store.publish(CleanCorpus, made)
    store = machines["tokenize"]
    made = tokenize_corpora(_TOKENIZE, clean, None, store.workspace("tokenize"), place)
    return [raw.digest, clean.digest, store.publish(TokenCorpus, made).digest]


def one_disk(root: Path) -> dict[str, Store]:
    return dict.fromkeys(_STAGES, Store(root))


@pytest.fixture(scope="module", autouse=True)
def _parts() -> Iterator[None]:
    """A domain's tokens are several pieces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("k2core.tokenize.write.PART_BYTES", 2_000)
        yield


@pytest.fixture(scope="module")
def alone(files: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return make(files, one_disk(tmp_path_factory.mktemp("alone")), 0, 7_000)


@pytest.fixture(scope="module")
def _cluster(s3_server: S3) -> Iterator[None]:
    """One for all; its workers find the S3 server in their environment."""
    with hold_workers(2):
        yield


_TEXTS = ("documents/", "origins/", "kept/", "rejects/", "judged.parquet", "tokens.parquet", ".bin")
"""Where a corpus' bytes are; what else there is tells of them."""


def holds_texts(name: str) -> bool:
    return any(part in name for part in _TEXTS)


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Bytes of each object that this process has sent to the bucket or read from it."""
    counts, read, upload = Counter[str](), Bucket.read, Bucket.upload

    def count_read(self: Bucket, name: str, start: int = 0, stop: int | None = None) -> bytes:
        content = read(self, name, start, stop)
        counts[name] += len(content)
        return content

    def count_upload(self: Bucket, path: Path, name: str) -> SentBytes:
        counts[name] += path.stat().st_size
        return upload(self, path, name)

    monkeypatch.setattr(Bucket, "read", count_read)
    monkeypatch.setattr(Bucket, "upload", count_upload)
    return counts


@pytest.mark.usefixtures("_cluster")
def test_two_workers_and_a_bucket_make_the_same_bytes(
    files: Path,
    alone: list[str],
    bucket: str,
    passed: dict[str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers do not see the stage's disk, and another machine finds all in the bucket."""
    monkeypatch.setattr(spread, "_leave_mark", lambda _: "of another machine")
    machines = {name: Store(bucket, cache=tmp_path / name) for name in _STAGES}
    assert make(files, machines, 2, 7_000) == alone
    assert any(name.endswith("digests.parquet") for name in passed), "it reads what tells of texts"
    assert not [name for name in passed if holds_texts(name)], "no text passes through here"
    for stage, digest in (("clean", alone[0]), ("tokenize", alone[1])):
        folder = machines[stage].disk / "objects" / digest.removeprefix("sha256:")
        assert [path.name for path in folder.rglob("*")] == ["sources.json"], "workers read it"
    # Alone it goes on with what the workers left, and makes nothing again.
    others = {name: Store(bucket, cache=tmp_path / f"other {name}") for name in _STAGES}
    assert make(files, others, 0, 7_000) == alone
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and holds_texts(str(path))]
    for name in _STAGES:
        machines[name].clear(name)
    assert not [name for name in Bucket(bucket).sizes("work") if "/states/" in name]


def test_a_bucket_without_workers_holds_the_same_bytes(
    files: Path, alone: list[str], bucket: str, tmp_path: Path
) -> None:
    machines = {name: Store(bucket, cache=tmp_path / name) for name in _STAGES}
    assert make(files, machines, 0, 7_000) == alone


@pytest.mark.parametrize("shard_bytes", [1, 10**7])
def test_other_shards_make_the_same_clean_bytes(
    files: Path, alone: list[str], tmp_path: Path, shard_bytes: int
) -> None:
    made = make(files, one_disk(tmp_path), 0, shard_bytes)
    assert made[0] != alone[0]
    assert made[1:] == alone[1:]
