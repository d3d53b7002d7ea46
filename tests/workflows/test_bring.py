"""A model that is brought: what the recipe becomes, and what is said before any work."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from schemas.artifacts import Checkpoint
from schemas.recipe import STAGES, Recipe
from tests.k2core.adopt.conftest import CONFIG, Save, draw, save
from tests.workflows.conftest import Record
from workflows import launch
from workflows.bring import based_on
from workflows.cli import app
from workflows.errors import MendableError, NotRecordedError
from workflows.plan import jobs_of

__all__ = ["save"]
SHORT = ["sft.sequence_length=128"]
MADE = Checkpoint(digest=f"sha256:{'e' * 64}")


def test_a_recipe_takes_the_shape_of_its_base_and_leaves_out_what_it_replaces(save: Save) -> None:
    folder = save({"model.safetensors": draw()})
    recipe = based_on(Recipe(name="mine"), str(folder), SHORT)
    assert (recipe.model.num_layers, recipe.model.hidden_size) == (3, 48)
    assert recipe.adopt.source == str(folder)
    assert recipe.adopt.digest.startswith("sha256:")
    assert set(STAGES) - set(recipe.stages) == {"rephrase", "pretrain"}
    assert set(STAGES) - set(Recipe().stages) == {"adopt"}
    assert list(jobs_of(recipe)) == ["sft"]
    with pytest.raises(MendableError, match=r"sft\.sequence_length=512 exceeds .*=128"):
        based_on(Recipe(), str(folder), [])


def test_a_digest_of_what_was_brought_is_brought_again(
    save: Save, record: Record, home: Path
) -> None:
    recipe = based_on(Recipe(), str(save({"model.safetensors": draw()})), SHORT)
    said = {"config": recipe.adopt.model_dump(), "shape": recipe.model.model_dump()}
    record("import-1", "adopt", {}, {"checkpoint": MADE}, **said)
    assert based_on(Recipe(), MADE.digest[:20], SHORT) == recipe
    with pytest.raises(NotRecordedError, match="was not brought by `k2 import`"):
        based_on(Recipe(), f"sha256:{'f' * 64}", SHORT)


@pytest.mark.parametrize("command", [["import"], ["run", "--base"]])
def test_what_is_no_such_model_is_said_plainly(
    save: Save, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_run", lambda *_, **__: pytest.fail("work was started"))
    folder = save({"model.safetensors": {**draw(), "model.norm.weight": torch.ones(3)}})
    told = CliRunner().invoke(app, [*command, str(folder)])
    assert told.exit_code == 2
    assert "error: " in told.stderr
    assert "model.norm.weight is [3]" in told.stderr.replace("\n", "")
    (folder / "config.json").write_text(json.dumps({**CONFIG, "model_type": "llama"}))
    told = CliRunner().invoke(app, [*command, str(folder)])
    assert "supported are deepseek_v3, kimi_k2" in told.stderr
    assert "Traceback" not in told.stderr
