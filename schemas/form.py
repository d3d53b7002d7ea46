"""JSON schemas that a console's form shows whole: no references, every default at its leaf.

Flyte's console builds a launch form from a task's JSON schema, with a form library that resolves no
nested `$ref` and lets a nested class's defaults win over those of the object around it. Pressing
launch on such a form would not run what the config states. So references are inlined, an enclosing
default is carried to the fields below it, a tuple is an array with `items`, and a map whose names
follow a pattern is one with `additionalProperties`.
"""

from collections.abc import Mapping
from typing import cast

Schema = dict[str, object]
"""A JSON schema's object (draft 2020-12, as pydantic writes it)."""

_TEXTS = ("title", "description", "default", "examples", "deprecated")
"""What a reference says of its use; it wins over what the class says of itself."""


def form_schema(schema: Mapping[str, object]) -> Schema:
    """The same promise without `$defs`: what it accepts is unchanged, defaults stand at the leaves.

    Raises:
        ValueError: a class holds itself, so that it cannot be written out.
    """
    definitions = cast("Mapping[str, Schema]", schema.get("$defs", {}))
    whole = {key: value for key, value in schema.items() if key != "$defs"}
    return _with_defaults(cast("Schema", _inlined(whole, definitions, ())))


def _inlined(node: object, definitions: Mapping[str, Schema], within: tuple[str, ...]) -> object:
    if isinstance(node, list):
        return [_inlined(part, definitions, within) for part in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        name = reference.removeprefix("#/$defs/")
        if name in within:
            raise ValueError(f"{name} holds itself ({' > '.join(within)}): a form cannot show it")
        target = cast("Schema", _inlined(definitions[name], definitions, (*within, name)))
        own = {key: value for key, value in node.items() if key != "$ref"}
        return target | cast("Schema", _inlined(own, definitions, within))
    literal = {key: node[key] for key in ("default", "enum", "const", "examples") if key in node}
    parts = {
        key: _inlined(value, definitions, within)
        for key, value in node.items()
        if key not in literal
    }
    return _as_map(_as_array(_named(parts) | literal))


def _named(node: Schema) -> Schema:
    """Objects are called by their field, not by a class that many share; in a map by their key.

    Choices that have no name of their own are called by their JSON type.
    """
    fields = cast("dict[str, Schema]", node.get("properties", {}))
    for name, field in fields.items():
        if isinstance(field, dict) and "properties" in field:
            field["title"] = name.replace("_", " ").title()
    value = node.get("additionalProperties")
    if isinstance(value, dict) and "properties" in value:
        value.pop("title", None)
    for choice in cast("list[Schema]", node.get("anyOf", [])):
        if "type" in choice:
            choice.setdefault("title", "none" if choice["type"] == "null" else choice["type"])
    return node


def _as_array(node: Schema) -> Schema:
    """A tuple's `prefixItems` as `items`; its length stays in `minItems` and `maxItems`."""
    places = cast("list[Schema] | None", node.pop("prefixItems", None))
    if places:
        bare = [{key: place[key] for key in place if key not in _TEXTS} for place in places]
        kinds = [kind for index, kind in enumerate(bare) if kind not in bare[:index]]
        node["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return node


def _as_map(node: Schema) -> Schema:
    """A map's `patternProperties`, whose default the form library drops, as what it does show."""
    patterns = cast("dict[str, Schema] | None", node.get("patternProperties"))
    if patterns is None or len(patterns) > 1:
        return node
    rest = {key: value for key, value in node.items() if key != "patternProperties"}
    ((pattern, value),) = patterns.items()
    return rest | {"additionalProperties": value, "propertyNames": {"pattern": pattern}}


def _with_defaults(node: Schema) -> Schema:
    """Carry the node's default to its fields, and put the variant that it is first."""
    has_default, default = "default" in node, node.get("default")
    variants = cast("list[Schema] | None", node.get("anyOf"))
    if variants is not None:
        first = [v for v in variants if has_default and _is_kind(default, v)]
        ordered = [*first[:1], *(v for v in variants if v not in first[:1])]
        # the variant that the default is shows it; the others show their own class's
        node = node | {
            "anyOf": [
                _with_defaults(
                    v | {"default": default} if v in first[:1] and v.get("properties") else v
                )
                for v in ordered
            ]
        }
    properties = cast("dict[str, Schema] | None", node.get("properties"))
    if properties is not None:
        given = default if isinstance(default, dict) else {}
        node = node | {
            "properties": {
                name: _with_defaults(field | {"default": given[name]} if name in given else field)
                for name, field in properties.items()
            }
        }
    for key in ("items", "additionalProperties"):
        inner = node.get(key)
        if isinstance(inner, dict):
            node = node | {key: _with_defaults(cast("Schema", inner))}
    return node


def _is_kind(value: object, schema: Schema) -> bool:
    """Whether a default is of a variant, by its JSON type."""
    kinds: dict[str, type | tuple[type, ...]] = {
        "null": type(None),
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
    }
    if "const" in schema or "enum" in schema:
        return value in cast("list[object]", schema.get("enum", [schema.get("const")]))
    expected = kinds.get(str(schema.get("type")))
    if expected is None or (isinstance(value, bool) and schema.get("type") != "boolean"):
        return False
    return isinstance(value, expected)
