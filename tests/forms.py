"""What a form library fills in from a schema before anybody touches the form."""

from collections.abc import Mapping
from typing import cast

Schema = Mapping[str, object]


def untouched(schema: Schema) -> object:
    """Leaves by their own default, the first variant where it is one that has fields."""
    variants = cast("list[Schema]", schema.get("anyOf", []))
    if variants:
        first = variants[0]
        return untouched(first) if "properties" in first else schema.get("default")
    fields = cast("Mapping[str, Schema]", schema.get("properties", {}))
    if fields:
        return {name: untouched(field) for name, field in fields.items()}
    return schema.get("default")
