"""What a store must be on a bucket, it must be on S3 and on Google Cloud Storage."""

from collections.abc import Iterator

import pytest

from tests.gcs import GCS
from tests.s3 import S3

SERVERS = {"s3://": "s3_server", "gs://": "gcs_server"}


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GCS]:
    """One server for all tests."""
    server = GCS()
    with pytest.MonkeyPatch.context() as patch:
        key = server.write_key(tmp_path_factory.mktemp("gcs") / "key.json")
        patch.setenv("GOOGLE_SERVICE_ACCOUNT", str(key))
        yield server
    server.stop()


@pytest.fixture(params=["s3://", "gs://"])
def s3(request: pytest.FixtureRequest) -> Iterator[S3]:
    """A server of either kind, with nothing spoiled before or after."""
    server: S3 = request.getfixturevalue(SERVERS[request.param])
    server.spoil(None)
    yield server
    server.spoil(None)


def make_bucket(request: pytest.FixtureRequest, scheme: str) -> str:
    """The address of an empty bucket on the server of this scheme."""
    server: S3 = request.getfixturevalue(SERVERS[scheme])
    server.spoil(None)
    return server.make_bucket()
