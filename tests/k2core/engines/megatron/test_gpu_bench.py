"""`bench.gpu` on the CPU, in small: so that it is right on the day that there is a GPU."""

import pytest

from bench.gpu import CHECKS, run_checks
from bench.gpu_checks import Bench, Figures, WrongError


@pytest.fixture(scope="module")
def figures() -> dict[str, Figures]:
    found = run_checks(CHECKS)
    wrong = {title: one.said for title, one in found.items() if one.verdict == "WRONG"}
    assert not wrong
    assert [title for title, one in found.items() if one.verdict == "skipped"] == ["engine"]
    return {title: one.figures for title, one in found.items()}


def test_each_check_says_what_it_found(figures: dict[str, Figures]) -> None:
    assert figures["MuonClip, fp32"]["clips"] == figures["MuonClip, bf16"]["clips"]
    assert float(figures["MuonClip, fp32"]["update's distance"]) < 1e-5
    assert float(figures["optimizer step"]["of the peak"]) > 0
    losses = [f["first loss"] for title, f in figures.items() if title.startswith("training")]
    assert len(losses) == 5
    for figure in figures["training, full"].values():
        assert float(figure) >= 0


def test_what_is_wrong_is_said_and_stops_nothing() -> None:
    def wrong(_: Bench) -> Figures:
        raise WrongError("a figure")

    def broken(_: Bench) -> Figures:
        return {"of nothing": 1 / 0}

    def sound(_: Bench) -> Figures:
        return {"of": "it"}

    found = run_checks({"a": wrong, "b": broken, "c": sound})
    assert [one.verdict for one in found.values()] == ["WRONG", "WRONG", "right"]
    assert "WrongError at test_gpu_bench.py" in found["a"].said
    assert "ZeroDivisionError" in found["b"].said
    late = run_checks({"a": sound}, budget=-1.0)
    assert late["a"].said == "-1 s were up"
