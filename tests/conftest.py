from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from k2core.chat import DROP_GUARD, SPECIAL_TOKENS, ChatCodec

if TYPE_CHECKING:
    from tests.s3 import S3


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = DROP_GUARD
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["functions.add:0 what is the result"] * 5, trainer)
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables without a run, to be copied into a home: making them takes seconds."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def codec(tokenizer_folder: Path) -> ChatCodec:
    return ChatCodec(tokenizer_folder)


@pytest.fixture(scope="session")
def s3_server() -> "Iterator[S3]":
    """One server for all tests."""
    from tests.s3 import ENVIRONMENT, S3

    server = S3()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.endpoint}.items():
            patch.setenv(name, value)
        yield server
    server.stop()


@pytest.fixture
def s3(s3_server: "S3") -> "Iterator[S3]":
    """The server, with nothing spoiled before or after."""
    s3_server.spoil(None)
    yield s3_server
    s3_server.spoil(None)


@pytest.fixture
def bucket(s3: "S3") -> str:
    """The address of an empty bucket of the test's own."""
    return s3.make_bucket()


@pytest.fixture
def server(tmp_path: Path, bucket: str, s3: "S3", monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What is recorded goes to a server over PostgreSQL; yields the bucket."""
    from tests.tracking import tracking_server

    with tracking_server(tmp_path, bucket, s3) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("K2_HOME", str(tmp_path / "home"))
        yield bucket
