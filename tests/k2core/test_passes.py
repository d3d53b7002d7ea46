"""Passes of unequal weight are one progress."""

from k2core.passes import Passes
from k2core.reporting import Silent


class Heard(Silent):
    """Keeps what is said of the progress."""

    def __init__(self) -> None:
        self.said: list[tuple[float, float, str]] = []

    def progress(self, done: float, total: float, note: str = "") -> None:
        self.said.append((done, total, note))


def test_each_pass_is_its_part_of_the_whole() -> None:
    heard = Heard()
    passes = Passes(heard, {"read": 1.0, "train": 4.0, "write": 2.0, "closing": 1.0})
    passes.tell("read", 1, 2, "half of it")
    passes.weigh("train", 2.0)  # less is to be learned from than was thought
    passes.tell("train", 0, 1)
    passes.tell("write", 0, 0)  # nothing is to be written
    passes.tell("unheard of", 1, 1)
    assert heard.said == [(0.5, 8.0, "half of it"), (1.0, 6.0, "train"), (5.0, 6.0, "write")]
