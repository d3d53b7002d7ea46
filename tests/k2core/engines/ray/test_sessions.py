"""Sessions in Ray actors come in their order, whoever plays them, and survive a death."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from k2core.engines.ray.sessions import SessionPool

pytestmark = pytest.mark.slow

BATCHES = [range(i, i + 5) for i in range(0, 60, 5)]


class Opened:
    """Tells who played, and dies once where a marker says so."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    @contextmanager
    def __call__(self) -> Iterator[Callable[[str, Sequence[int]], list[tuple[int, int]]]]:
        def play(kind: str, numbers: Sequence[int]) -> list[tuple[int, int]]:
            if kind == "faulty" and 30 in numbers:
                raise ValueError("session 30 cannot be")
            if kind == "deadly" and 30 in numbers and self.marker.exists():
                self.marker.unlink()
                os._exit(1)
            return [(number, os.getpid()) for number in numbers]

        yield play


@pytest.fixture(scope="module")
def marker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sessions") / "marker"


@pytest.fixture(scope="module")
def pool(marker: Path) -> Iterator[SessionPool[tuple[int, int]]]:
    with SessionPool(2, Opened(marker)) as started:
        yield started


def test_all_actors_play_and_the_order_is_kept(pool: SessionPool[tuple[int, int]]) -> None:
    played = list(pool.play("plain", BATCHES))
    assert [number for number, _ in played] == list(range(60))
    assert len({process for _, process in played}) == 2


def test_a_dead_actors_batch_is_played_again(
    pool: SessionPool[tuple[int, int]], marker: Path
) -> None:
    marker.touch()
    assert [number for number, _ in pool.play("deadly", BATCHES)] == list(range(60))
    assert not marker.exists()


def test_an_error_arrives_as_what_it_is(pool: SessionPool[tuple[int, int]]) -> None:
    played = pool.play("faulty", BATCHES)
    before = itertools.islice(played, 30)
    assert [number for number, _ in before] == list(range(30))
    with pytest.raises(ValueError, match="session 30 cannot be"):
        next(played)
