"""Launch forms: what a form library fills in untouched, and what a task is given of a form."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import msgpack
from flyte import TaskTemplate
from flyte.types import TypeEngine
from flyteidl2.core import literals_pb2
from pydantic import BaseModel

Schema = Mapping[str, object]


def untouched(schema: Schema) -> object:
    """Leaves by their own default, the first variant where it is one that has fields.

    A map's default is dropped where the schema says of its names alone what they hold.
    """
    if "patternProperties" in schema and "additionalProperties" not in schema:
        return {}
    variants = cast("list[Schema]", schema.get("anyOf", []))
    if variants:
        first = variants[0]
        return untouched(first) if "properties" in first else schema.get("default")
    fields = cast("Mapping[str, Schema]", schema.get("properties", {}))
    if fields:
        return {name: untouched(field) for name, field in fields.items()}
    return schema.get("default")


def given(task: TaskTemplate[..., Any, Any], name: str, form: object) -> BaseModel:
    """An input of a task where a form says this: as the backend sends it, as the task reads it."""
    binary = literals_pb2.Binary(value=msgpack.packb(form), tag="msgpack")
    literal = literals_pb2.Literal(scalar=literals_pb2.Scalar(binary=binary))
    kind, _ = task.native_interface.inputs[name]
    value: BaseModel = asyncio.run(TypeEngine.to_python_value(literal, kind))
    return value
