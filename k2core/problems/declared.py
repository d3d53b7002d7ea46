"""Tools and calls as data sets declare them: OpenAI's form, xLAM's, the Berkeley leaderboard's."""

import re
from contextlib import suppress
from typing import cast

from pydantic import JsonValue, TypeAdapter, ValidationError

from k2core.problems.faults import RowError, shown
from schemas.chat import ToolSpec
from schemas.outside import NotJsonError, read_json

_TOOLS = TypeAdapter(tuple[ToolSpec, ...])
_TYPES = {
    **dict.fromkeys(("str", "string", "char", "any", "date", "datetime"), "string"),
    **dict.fromkeys(("int", "integer", "long"), "integer"),
    **dict.fromkeys(("float", "double", "number"), "number"),
    **dict.fromkeys(("bool", "boolean"), "boolean"),
    **dict.fromkeys(("list", "tuple", "set", "array", "sequence"), "array"),
    **dict.fromkeys(("dict", "object", "map"), "object"),
}
_JSON_TYPES = frozenset(("string", "integer", "number", "boolean", "array", "object", "null"))
_MARKED = re.compile(r"<tool_call>((?:(?!<tool_call>).)*?)</tool_call>", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
_ODD = re.compile(r"[^A-Za-z0-9_\-]")


def read_tools(given: JsonValue) -> tuple[ToolSpec, ...]:
    """Tools as OpenAI's API declares them, the functions alone, or any of that as JSON in a text.

    Parameters may be a JSON Schema, one with Python's names of types (`dict`, `float`), or a flat
    object of arguments (`{"city": {"type": "str, optional"}}`); dots in names become `_`.

    Raises:
        RowError: they are none.
    """
    given = from_json(given)
    if given is None:
        return ()
    if not isinstance(given, list):
        raise RowError("tools", "must be a list of functions as OpenAI's API has them")
    specs = [t["function"] if isinstance(t, dict) and "function" in t else t for t in given]
    plain = [_declared(spec) for spec in map(without_nulls, specs)]
    try:
        return _TOOLS.validate_python(plain)
    except ValidationError as error:
        raise RowError("tools", first_fault(error)) from None


def _declared(spec: JsonValue) -> JsonValue:
    if not isinstance(spec, dict):
        return spec
    schema = next((spec[key] for key in _SCHEMAS if key in spec), None)
    spec = {key: value for key, value in spec.items() if key not in _SCHEMAS}
    spec |= {} if schema is None else {"parameters": schema}
    kept = {key: spec[key] for key in ("name", "description", "parameters") if key in spec}
    if isinstance(kept.get("name"), str) and "." in str(kept["name"]):
        kept["name"] = plain_name(str(kept["name"]))
    parameters = from_json(kept.get("parameters"))
    if isinstance(parameters, dict):
        kept["parameters"] = _schema_of(parameters)
    # What ToolSpec does not know is said by its own error, but for marks that mean nothing here.
    return kept | {k: v for k, v in spec.items() if k not in kept and k not in _IGNORED}


_SCHEMAS = ("parameters", "input_schema", "inputSchema")
"""What OpenAI, Anthropic and MCP call the schema of a tool's arguments."""
_IGNORED = frozenset(("strict", "response", "required", "type", "returns", "results"))


def _schema_of(parameters: dict[str, JsonValue]) -> JsonValue:
    flat = parameters and all(isinstance(v, dict) and "type" in v for v in parameters.values())
    if not flat or "properties" in parameters:
        return _with_json_types(parameters)
    properties = {name: _with_json_types(value) for name, value in parameters.items()}
    needed = [name for name, value in parameters.items() if not _is_optional(value)]
    return {"type": "object", "properties": properties, "required": cast("JsonValue", needed)}


def _is_optional(parameter: JsonValue) -> bool:
    assert isinstance(parameter, dict)
    return "default" in parameter or "optional" in str(parameter["type"]).lower()


def _with_json_types(schema: JsonValue) -> JsonValue:
    """A schema whose types are JSON's; what has no like says no type."""
    if isinstance(schema, list):
        return [_with_json_types(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {k: v if k in ("default", "enum") else _with_json_types(v) for k, v in schema.items()}
    said = schema.get("type")
    if isinstance(said, str) and said not in _JSON_TYPES:
        word = _WORD.search(said.removeprefix("Optional["))
        named = _TYPES.get(word[0].lower()) if word else None
        found.pop("type")
        found |= {"type": named} if named else {}
    return found


def read_calls(given: JsonValue) -> list[JsonValue]:
    """`[{"name": ..., "arguments": {...}}]`, or with `any_of`: argument -> the values that will do.

    Stated so, as texts in `<tool_call>`, as OpenAI's `tool_calls` (alone or in a last message), or
    as the Berkeley leaderboard's `[{"name": {"argument": [value, ...]}}]`.

    Raises:
        RowError: they are no calls.
    """
    if isinstance(given, str) and (marked := _MARKED.findall(given)):
        given = list(marked)
    given = from_json(given)
    if isinstance(given, list) and given and isinstance(given[-1], dict) and "role" in given[-1]:
        given = given[-1]
    if isinstance(given, dict) and isinstance(given.get("tool_calls"), list):
        given = given["tool_calls"]
    listed = [given] if isinstance(given, dict) else given
    if not isinstance(listed, list):
        raise RowError(
            "calls", f"must be a list of calls with name and arguments, not {shown(given)}"
        )
    return [_read_call(from_json(call)) for call in listed]


_ARGUMENTS = ("arguments", "parameters", "kwargs", "input", "args")
"""What data sets call them."""


def _read_call(call: JsonValue) -> JsonValue:
    if isinstance(call, dict) and isinstance(call.get("function"), dict):
        call = call["function"]
    if isinstance(call, dict) and isinstance(call.get("name"), str):
        said = next((call[field] for field in _ARGUMENTS if call.get(field) is not None), {})
        arguments = from_json(said)
        name = plain_name(str(call["name"]))
        if isinstance(arguments, dict):
            return {"name": name, "arguments": without_nulls(arguments)}
        if isinstance(call.get("any_of"), dict):
            return {"name": name, "any_of": call["any_of"]}
    if isinstance(call, dict) and len(call) == 1:
        ((name, values),) = call.items()
        if isinstance(values, dict) and all(isinstance(v, list) for v in values.values()):
            return {"name": plain_name(name), "any_of": values}
    raise RowError("calls", f"must have name and arguments, not {shown(call)}")


def plain_name(name: str) -> str:
    """A function's name with `_` for what no call of K2's can have in it."""
    return _ODD.sub("_", name)


def from_json(given: JsonValue) -> JsonValue:
    """A list or an object, also where it stands in a text."""
    if isinstance(given, str) and given.lstrip()[:1] in ("[", "{"):
        with suppress(NotJsonError):
            return read_json(given)
    return given


def without_nulls(value: JsonValue) -> JsonValue:
    """Parquet and many data sets write absent fields of messages as null."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def first_fault(error: ValidationError) -> str:
    """Where and what pydantic found first."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
