from pathlib import Path

import pytest
import typer

from infra.home import home
from schemas.optim import Schedule
from workflows.ablations.command import Left, _put_table, _train
from workflows.ablations.configs import TextConfig, TrainingArm

ARMS = [
    TrainingArm(
        seed=seed,
        text=TextConfig(num_knowledge=40, num_code=1, heldout_frac=0.3),
        schedule=Schedule(num_steps=1),
        batch_size=1,
        sequence_length=16,
        heldout_rows=1,
        evaluations=1,
    )
    for seed in (5, 6)
]


def test_a_stopped_experiment_goes_on_where_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        _train(ARMS, Left(1))
    assert len(list((home() / "ablations" / "arms").glob("*.json"))) == 1
    capsys.readouterr()
    first, second = _train([ARMS[1], ARMS[0]], Left(1))
    assert "1 of 1 missing" in capsys.readouterr().out
    assert first["losses"] != second["losses"]
    assert _train(ARMS, Left(0)) == [second, first]


def test_a_table_goes_between_its_own_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("A\n<!-- one -->\nold\n<!-- end -->\nB\n<!-- two -->\n<!-- end -->\nC\n")
    _put_table(page, "two", "| new |")
    _put_table(page, "one", "| first |")
    assert page.read_text() == (
        "A\n<!-- one -->\n| first |\n<!-- end -->\nB\n<!-- two -->\n| new |\n<!-- end -->\nC\n"
    )
