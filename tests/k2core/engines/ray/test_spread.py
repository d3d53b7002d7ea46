"""Work in pieces by Ray Data: in order, errors as they are, deaths survived, no disk needed."""

import functools
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from k2core.engines.ray import spread
from k2core.engines.ray.cluster import hold_cluster, release_cluster
from k2core.engines.ray.spread import WorkLostError, spread_pieces
from k2core.pieces import NotSeenError, Piece, Work, made_file
from k2core.store import ArtifactCorruptError, StoredFile

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def _cluster() -> Iterator[None]:
    hold_cluster(2)
    yield
    release_cluster()


def double(died: Path, files: Sequence[Path], told: None, folder: Path) -> None:
    """Text written twice; the process of the third file dies at first."""
    (source,) = files
    text = source.read_text()
    if text == "2" and not died.exists():
        died.touch()
        os._exit(1)
    if text == "bad":
        raise ValueError(f"{source.name} is bad")
    (folder / "deep").mkdir()
    (folder / "deep" / source.name).write_text(2 * text)
    (folder / "read").write_text(str(source))


def die(tries: Path, files: Sequence[Path], told: None, folder: Path) -> None:
    """Never come back."""
    with tries.open("a") as stream:
        stream.write(files[0].read_text())
    os._exit(1)


def write_files(folder: Path, texts: Sequence[str]) -> list[StoredFile]:
    files = []
    for number, text in enumerate(texts):
        path = folder / f"{number}.txt"
        path.write_text(text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        files.append(StoredFile(path, str(path), digest))
    return files


def spread_files(work: Work, files: Sequence[StoredFile], folder: Path) -> Iterator[Path]:
    return spread_pieces(work, [Piece((file,)) for file in files], folder, 2)


def read_results(work: Work, files: Sequence[StoredFile], folder: Path) -> list[dict[str, str]]:
    return [
        {path.name: path.read_text() for path in made.rglob("*") if path.is_file()}
        for made in spread_files(work, files, folder)
    ]


def test_results_come_in_order_whatever_dies(tmp_path: Path) -> None:
    files = write_files(tmp_path, ["0", "1", "2", "33", "4"])
    work = functools.partial(double, tmp_path / "died")
    found = read_results(work, files, tmp_path / "out")
    assert (tmp_path / "died").exists()
    assert [made[f"{n}.txt"] for n, made in enumerate(found)] == ["00", "11", "22", "3333", "44"]
    assert [made["read"] for made in found] == [str(file.path) for file in files]  # where they lie
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_file()] == [".mark"]


def test_what_workers_do_not_see_is_brought_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_files(tmp_path, ["0", "1", "5"])
    (tmp_path / "other").write_text("of another machine")
    away = [
        files[0]._replace(address="s3://no-such-bucket-of-ours/0.txt"),
        files[1]._replace(address=str(tmp_path / "other")),
        files[2]._replace(path=tmp_path / "gone" / "2.txt"),
        made_file(files[2].path),
    ]
    monkeypatch.setattr(spread, "_leave_mark", lambda _: "of another machine")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    found = read_results(functools.partial(double, tmp_path / "died"), away, tmp_path / "out")
    texts = [made[f"{n}.txt"] for n, made in zip((0, 1, 2, 2), found, strict=True)]
    assert texts == ["00", "11", "55", "55"]
    read = [made["read"] for made in found]
    assert [path == str(files[2].path) for path in read] == [False, False, True, False]
    assert list((tmp_path / "out").iterdir()) == []


def test_the_first_error_in_order_arrives_as_it_was_raised(tmp_path: Path) -> None:
    files = write_files(tmp_path, ["0", "bad", "bad"])
    work = functools.partial(double, tmp_path / "died")
    results = spread_files(work, files, tmp_path / "out")
    assert (next(results) / "deep" / "0.txt").read_text() == "00"
    with pytest.raises(ValueError, match=r"1\.txt is bad") as caught:
        next(results)
    assert caught.value.__notes__ == [f"of {files[1].path}, in a Ray worker"]


def look(home: str, files: Sequence[Path], told: str, folder: Path) -> None:
    """Sees nothing but on the driver's node."""
    (folder / "seen").write_text(told)
    if not Path(home).exists():
        Path(home).touch()  # the next to look is there
        raise NotSeenError(told)


def test_what_only_the_driver_s_node_sees_is_done_there(tmp_path: Path) -> None:
    pieces = [Piece((), "a"), Piece((), "b")]
    work = functools.partial(look, str(tmp_path / "home"))
    made = [each / "seen" for each in spread_pieces(work, pieces, tmp_path / "out", 1)]
    assert len(made) == 2
    assert (tmp_path / "home").exists()


def test_a_file_that_is_not_the_store_s_is_refused(tmp_path: Path) -> None:
    (file,) = write_files(tmp_path, ["0"])
    file.path.write_text("1")
    with pytest.raises(ArtifactCorruptError, match=r"0\.txt does not match"):
        read_results(functools.partial(double, tmp_path / "died"), [file], tmp_path / "out")


def test_work_that_always_dies_is_given_up(tmp_path: Path) -> None:
    work = functools.partial(die, tmp_path / "tries")
    with pytest.raises(WorkLostError, match=r"0\.txt or one after it"):
        list(spread_files(work, write_files(tmp_path, ["x"]), tmp_path / "out"))
    assert (tmp_path / "tries").read_text() == "xxxx"
