"""Changing a recipe from the command line: right values land, wrong ones are named."""

import pytest

from workflows.errors import BadRecipeError
from workflows.overrides import change
from workflows.recipes import RECIPES, tiny


def test_a_setting_changes_one_field_only() -> None:
    changed = change(tiny(), ["pretrain.optim.lr=3e-3", "model.num_experts=8"])
    assert changed.pretrain.optim.lr == 3e-3
    assert changed.model.num_experts == 8
    assert change(changed, [f"pretrain.optim.lr={tiny().pretrain.optim.lr}"]) == change(
        tiny(), ["model.num_experts=8"]
    )


def test_an_absent_section_is_begun_by_its_fields() -> None:
    changed = change(tiny(), ["ingest.files.folder=/data", "ingest.files.license=MIT"])
    assert [(files.folder, files.license) for files in changed.ingest.files] == [("/data", "MIT")]
    more = change(changed, ["ingest.files.domain=mails", "tokenize.mixture={mails: 1}"])
    assert more.ingest.files[0].folder == "/data"
    assert more.tokenize.mixture == {"mails": 1}
    assert change(tiny(), ["clean.urls.max_soft_words=3"]).clean.urls is not None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("pretrain.optim.lr", "write it as stage.field=value"),
        ("pretrian.optim.lr=1", "no section 'pretrian'"),
        ("pretrain.optim.speed=1", "no field 'speed'"),
        ("ingest.files.folder=/data", "ingest.files.0.license: Field required"),
        (
            "ingest.files.folders=/data",
            "files.0.folders: there is no such field; did you mean 'folder'",
        ),
        ("ingest.files={folder: f, license: MIT, domain: My mails}", "domain: String should match"),
        ("ingest.files=[{folder: f, license: M}, {folder: g, license: M}]", "named 'files': give"),
        ("tokenize.mixture={mails: 1}", "a share for 'mails', and ingest collects code, knowledge"),
        ("clean.domains={web: knowledge}", "'web' has rules of its own: write them in clean.web"),
        ("model.hidden_size=-8", "model.hidden_size: .*greater than or equal to 16"),
        ("model.experts_per_token=99", "experts_per_token=99 exceeds num_experts"),
        ("model.vocab_size=4096", "tokenize.vocab_size=.* differs from model.vocab_size=4096"),
        ("sft.sequence_length=100000", "exceeds model.max_position_embeddings"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, message: str) -> None:
    with pytest.raises(BadRecipeError, match=message):
        change(tiny(), [setting])


@pytest.mark.parametrize("name", RECIPES)
def test_every_shipped_recipe_is_valid_and_named(name: str) -> None:
    recipe = RECIPES[name]()
    assert recipe.name == name
    assert type(recipe).model_validate_json(recipe.model_dump_json()) == recipe
