"""Plain data as tagged JSON: all that crosses between the solver and the tester. Never pickle."""

import base64
from collections.abc import Callable, Iterable
from typing import Any

MAX_DEPTH = 40
MAX_NODES = 200_000
_EXACT_INT = 2**53

Refer = Callable[[object], dict[str, Any]]
Resolve = Callable[[list[Any]], object]

_SEQUENCES: dict[str, Callable[[Iterable[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}


class _Encoder:
    """One value's walk, with its size counted."""

    def __init__(self, refer: Refer | None) -> None:
        self._refer = refer
        self._nodes = 0

    def encode(self, value: Any, depth: int = 0) -> Any:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise ValueError("value too deep or too large")
        kind = type(value)  # exact: a subclass could lie about itself
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if abs(value) <= _EXACT_INT else {"int": hex(value)}
        if kind is float:
            return {"float": value.hex()}
        if kind is complex:
            return {"complex": [value.real.hex(), value.imag.hex()]}
        if kind is bytes or kind is bytearray:
            return {kind.__name__: base64.b64encode(value).decode()}
        if any(kind is plain for plain in _SEQUENCES.values()):  # `in` would ask a metaclass
            return {kind.__name__: [self.encode(item, depth + 1) for item in list(value)]}
        if kind is dict:
            pairs = list(value.items())
            return {
                "dict": [[self.encode(k, depth + 1), self.encode(v, depth + 1)] for k, v in pairs]
            }
        if self._refer is None:
            raise TypeError(f"{kind.__name__} is not plain data")
        return self._refer(value)


def encode(value: object, refer: Refer | None = None) -> Any:
    """Value to JSON; what is not plain data becomes a reference, or an error without `refer`."""
    return _Encoder(refer).encode(value)


def decode(data: Any, resolve: Resolve | None = None) -> Any:
    """JSON to value; the inverse of `encode`."""
    if not isinstance(data, dict):
        if isinstance(data, list):
            raise TypeError("untagged list")
        return data
    ((tag, body),) = data.items()
    if tag == "int":
        return int(body, 16)
    if tag == "float":
        return float.fromhex(body)
    if tag == "complex":
        return complex(float.fromhex(body[0]), float.fromhex(body[1]))
    if tag == "bytes":
        return base64.b64decode(body)
    if tag == "bytearray":
        return bytearray(base64.b64decode(body))
    if tag in _SEQUENCES:
        return _SEQUENCES[tag](decode(item, resolve) for item in body)
    if tag == "dict":
        return {decode(key, resolve): decode(item, resolve) for key, item in body}
    if tag == "ref" and resolve is not None:
        return resolve(body)
    raise ValueError(f"unknown tag {tag!r}")
