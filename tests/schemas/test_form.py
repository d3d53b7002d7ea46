"""What a form library fills in from a schema, untouched, is the config that the schema is of."""

import json
from collections.abc import Mapping
from typing import cast

import pytest
from pydantic import BaseModel, Field

from schemas.base import Config
from schemas.clean import CleanConfig
from schemas.placement import Placement
from schemas.pretrain import PretrainConfig
from schemas.recipe import Recipe
from schemas.rl import RlConfig
from tests.forms import untouched


class Leaf(Config):
    rate: float = Field(0.1, gt=0)
    """A rate."""
    size: int = 3


class Middle(Config):
    leaf: Leaf = Leaf(rate=0.2)
    """Another rate."""
    perhaps: Leaf | None = None
    chosen: Leaf | None = Leaf(size=4)
    pair: tuple[float, float] = (1.0, 2.0)
    mixed: tuple[int, str] = (1, "a")
    many: tuple[Leaf, ...] = (Leaf(size=7),)
    by_name: dict[str, Leaf] = Field({"one": Leaf(size=9)})


class Whole(Config):
    middle: Middle = Middle(leaf=Leaf(rate=0.3), chosen=Leaf(size=5))
    number: int | float | None = 2.5


@pytest.mark.parametrize("kind", [Whole, Recipe, PretrainConfig, CleanConfig, RlConfig, Placement])
def test_an_untouched_form_is_the_config(kind: type[BaseModel]) -> None:
    assert untouched(kind.model_json_schema()) == kind().model_dump(mode="json")


def test_nothing_is_left_to_be_resolved() -> None:
    text = json.dumps(Recipe.model_json_schema())
    assert [
        word for word in ("$ref", "$defs", "prefixItems", "patternProperties") if word in text
    ] == []


def test_every_field_of_the_recipe_is_described() -> None:
    def silent(schema: Mapping[str, object], path: str) -> list[str]:
        fields = cast("Mapping[str, Mapping[str, object]]", schema.get("properties", {}))
        return [
            wrong
            for name, field in fields.items()
            for wrong in [
                *([] if field.get("description") else [f"{path}{name}"]),
                *silent(field, f"{path}{name}."),
            ]
        ]

    assert silent(Recipe.model_json_schema(), "") == []


def test_a_use_describes_and_bounds_stay() -> None:
    whole = json.loads(json.dumps(Whole.model_json_schema()))
    middle = whole["properties"]["middle"]["properties"]
    assert middle["leaf"]["description"] == "Another rate."
    assert middle["leaf"]["title"] == "Leaf"
    assert middle["leaf"]["properties"]["rate"] == {
        "default": 0.3,
        "description": "A rate.",
        "exclusiveMinimum": 0,
        "title": "Rate",
        "type": "number",
    }
    assert middle["pair"]["items"] == {"type": "number"}
    assert (middle["pair"]["minItems"], middle["pair"]["maxItems"]) == (2, 2)
    assert middle["mixed"]["items"] == {"anyOf": [{"type": "integer"}, {"type": "string"}]}


def test_a_class_that_holds_itself_is_refused() -> None:
    class Node(Config):
        inner: "Node | None" = None

    with pytest.raises(ValueError, match="Node holds itself"):
        Node.model_json_schema()
