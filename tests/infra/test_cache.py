"""The cache's key: what a stage is, in which store, by whatever name one came to it."""

import os
from pathlib import Path

import pytest
from flyte._cache.cache import VersionParameters

from infra import cache, home
from infra.cache import StageVersion, at, refreshed, store_id
from infra.home import StoreAwayError
from schemas.recipe import Recipe
from tests.s3 import S3, Rule
from workflows.launch import run_pipeline


@pytest.fixture(autouse=True)
def _no_memory() -> None:
    cache._bucket_id.cache_clear()


def id_of(store: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """As a new process on another machine would read it."""
    cache._bucket_id.cache_clear()
    monkeypatch.setenv("K2_STORE", store)
    home.settle(os.environ)
    return store_id()


def test_a_folder_has_one_identity_however_it_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    known = id_of(str(folder), monkeypatch)
    spelled = (f"{folder}/", f"file://{folder}", f"file://{folder}/", "store", "./store/", "link")
    assert [s for s in spelled if id_of(s, monkeypatch) != known] == []
    assert id_of(str(tmp_path / "other"), monkeypatch) != known


def test_a_bucket_holds_its_identity(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = id_of(bucket, monkeypatch)
    spelled = (bucket, f"{bucket}/", bucket.replace("/a store", "//a store"))
    assert [s for s in spelled if id_of(s, monkeypatch) != known] == []
    assert id_of(f"{bucket}/other", monkeypatch) != known


@pytest.mark.parametrize(
    ("store", "rule", "told"),
    [
        (
            "s3://no-bucket-of-ours/store",
            None,
            "^K2_STORE=s3://no-bucket-of-ours/store cannot be used: there is no such bucket$",
        ),
        ("s3://denied/store", lambda _: "403", "may not write there$"),
        ("s3://", None, "cannot be used: "),
        ("ftp://somewhere/store", None, "cannot be used: "),
    ],
)
def test_a_bucket_that_cannot_be_used_is_told_before_any_work(
    store: str, rule: Rule | None, told: str, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.spoil(rule)
    monkeypatch.setenv("K2_STORE", store)
    with pytest.raises(StoreAwayError, match=told):
        run_pipeline(Recipe(name="none"))


def test_a_relative_place_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"K2_HOME": "here", "K2_STORE": "there"}
    home.settle(places)
    assert places == {"K2_HOME": str(tmp_path / "here"), "K2_STORE": str(tmp_path / "there")}
    remote = {"K2_STORE": "s3://bucket/store"}
    home.settle(remote)
    assert remote == {"K2_STORE": "s3://bucket/store"}


def test_a_key_is_of_stage_version_and_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clean() -> None: ...

    monkeypatch.setenv("K2_STORE", str(tmp_path / "a"))
    key = at("1").get_version(VersionParameters(func=clean))
    assert key == refreshed("clean", "1").get_version()
    assert key != at("2").get_version(VersionParameters(func=clean))
    assert StageVersion("1").key("clean") != StageVersion("1").key("ingest")
    monkeypatch.setenv("K2_STORE", str(tmp_path / "b"))
    assert key != at("1").get_version(VersionParameters(func=clean))
