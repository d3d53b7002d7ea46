"""Tool specifications in JSON, read off the signatures of the standard library's functions.

A parameter's type is that of its default value; one without a default is a string, and required.
"""

import ast
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from k2core.ingest.files import list_modules
from k2core.ingest.source import Item
from schemas.ingest import IngestConfig

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
_MAX_DESCRIPTION = 300


def list_tool_specs(config: IngestConfig) -> list[Item]:
    """One specification a documented public function, in OpenAI's function form."""
    items: dict[str, Item] = {}
    # Modules outside packages hold enough functions, and parsing all takes seconds.
    for module in (m for m in list_modules(config) if "/" not in m.path):
        for function in _public_functions(ast.parse(module.read())):
            path = f"{module.path}:{function.name}"
            items.setdefault(path, Item(path, partial(write_spec, function)))
    return list(items.values())


def write_spec(function: ast.FunctionDef) -> str:
    """A function's name, documentation and parameters, in JSON without spaces as in a prompt."""
    documentation = " ".join((ast.get_docstring(function) or "").split("\n\n")[0].split())
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    first_default = len(positional) - len(arguments.defaults)
    properties: dict[str, Any] = {}
    required = []
    for place, argument in enumerate(positional):
        default = arguments.defaults[place - first_default] if place >= first_default else None
        if argument.arg not in {"self", "cls"}:
            properties[argument.arg] = _describe(default)
            required += [argument.arg] if default is None else []
    for argument, keyword_default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        properties[argument.arg] = _describe(keyword_default)
        required += [argument.arg] if keyword_default is None else []
    parameters = {"type": "object", "properties": properties, "required": required}
    declaration = {
        "type": "function",
        "function": {
            "name": function.name,
            "description": documentation[:_MAX_DESCRIPTION],
            "parameters": parameters,
        },
    }
    return json.dumps(declaration, ensure_ascii=False, separators=(",", ":"))


def _public_functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    for node in (node for body in bodies for node in body):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if ast.get_docstring(node) and any(p.arg not in {"self", "cls"} for p in parameters):
                yield node


def _describe(default: ast.expr | None) -> dict[str, Any]:
    if isinstance(default, ast.Constant) and type(default.value) in _TYPES:
        return {"type": _TYPES[type(default.value)], "default": default.value}
    if isinstance(default, ast.Tuple | ast.List):
        return {"type": "array"}
    return {"type": "object"} if isinstance(default, ast.Dict) else {"type": "string"}
