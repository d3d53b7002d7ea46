"""Plain data as tagged JSON: all that crosses between the solver and the tester. Never pickle.

A value of a subclass crosses as its base type: what a class says of itself stays behind.
"""

import base64
import datetime
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, UserString, deque
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import TypeAlias, cast

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Refer = Callable[[object], Json]
Resolve = Callable[[str, Json], object]

MAX_DEPTH = 100
MAX_NODES = 1_000_000
REFERENCES = ("ref", "iter")
"""Tags of what stays in the solver; `iter` has a next value."""
_EXACT_INT = 2**53


class Named(tuple[object, ...]):
    """A named tuple of the solution: a tuple that knows its fields, and nothing of its class."""

    _fields: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> object:
        if name in self._fields:
            return self[self._fields.index(name)]
        raise AttributeError(name)

    def _asdict(self) -> dict[str, object]:
        return dict(zip(self._fields, self, strict=True))


_ITEMS: tuple[tuple[type, Callable[[Iterable[object]], object]], ...] = (
    (list, list),
    (tuple, tuple),
    (set, set),
    (frozenset, frozenset),
    (deque, deque),
)
_SEQUENCES = {base.__name__: build for base, build in _ITEMS}
_PAIRS: dict[str, Callable[[dict[object, object]], object]] = {
    "counter": lambda pairs: _counter(pairs),
    "ordered": OrderedDict,
    "dict": dict,
    "keys": lambda pairs: pairs.keys(),
    "values": lambda pairs: pairs.values(),
    "items": lambda pairs: pairs.items(),
}
_NONE: dict[object, object] = {}
_KEYS, _VALUES, _VIEW_ITEMS = type(_NONE.keys()), type(_NONE.values()), type(_NONE.items())


def _counter(pairs: dict[object, object]) -> object:
    counted: Counter[object] = Counter()
    for key, value in pairs.items():
        counted[key] = value  # type: ignore[assignment]
    return counted


class _Encoder:
    """One value's walk, with its size counted."""

    def __init__(self, refer: Refer | None) -> None:
        self._refer = refer
        self._nodes = 0

    def encode(self, value: object, depth: int = 0) -> Json:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise ValueError("value too deep or too large")
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            number = int.__int__(value)
            return number if abs(number) <= _EXACT_INT else {"int": hex(number)}
        if isinstance(value, float):
            return {"float": float.hex(value)}
        if isinstance(value, dict):
            return self._pairs(value, depth)
        for base, _ in _ITEMS:
            if isinstance(value, base):
                return self._items(base, cast(Iterable[object], value), depth)
        return self._rarer(value, depth)

    def _items(self, base: type, value: Iterable[object], depth: int) -> Json:
        items: Iterator[object] = base.__iter__(value)  # type: ignore[attr-defined]
        crossed: list[Json] = [self.encode(item, depth + 1) for item in items]
        fields = getattr(value, "_fields", None)
        if base is tuple and isinstance(fields, tuple) and len(fields) == len(crossed):
            return {"named": [[self.encode(str(field)) for field in fields], crossed]}
        return {base.__name__: crossed}

    def _pairs(self, value: dict[object, object], depth: int, tag: str = "dict") -> Json:
        pairs: Iterable[tuple[object, object]] = dict.items(value)
        if isinstance(value, Counter):
            tag = "counter"
        elif isinstance(value, OrderedDict):
            tag, pairs = "ordered", OrderedDict.items(value)
        crossed: list[Json] = [
            [self.encode(k, depth + 1), self.encode(v, depth + 1)] for k, v in list(pairs)
        ]
        return {tag: crossed}

    def _rarer(self, value: object, depth: int) -> Json:
        if isinstance(value, complex):
            return {"complex": [value.real.hex(), value.imag.hex()]}
        if isinstance(value, bytes | bytearray):
            base = "bytes" if isinstance(value, bytes) else "bytearray"
            return {base: base64.b64encode(value).decode()}
        if isinstance(value, range | slice):
            ends = (value.start, value.stop, value.step)
            return {type(value).__name__: [self.encode(end, depth + 1) for end in ends]}
        if isinstance(value, Fraction | Decimal):
            base = "fraction" if isinstance(value, Fraction) else "decimal"
            return {base: base_text(value)}
        if isinstance(value, _KEYS):
            return self._pairs(dict.fromkeys(value), depth, "keys")
        if isinstance(value, _VALUES):
            return self._pairs(dict(enumerate(value)), depth, "values")
        if isinstance(value, _VIEW_ITEMS):
            return self._pairs(dict(value), depth, "items")
        if isinstance(value, UserDict | UserList | UserString):
            return self.encode(value.data, depth)
        if isinstance(value, ChainMap | MappingProxyType):
            return self._pairs(dict(value), depth)
        if (moment := _moment(value)) is not None:
            return moment
        if self._refer is None:
            raise TypeError(f"{type(value).__name__} is not plain data")
        return self._refer(value)


def base_text(value: Fraction | Decimal) -> str:
    """A number's digits, whatever a subclass would say they are."""
    if isinstance(value, Fraction):
        return f"{int(value.numerator):#x}/{int(value.denominator):#x}"
    return Decimal.__str__(value)


def _moment(value: object) -> Json:
    """Dates and times by their ISO text, time spans by their parts."""
    if isinstance(value, datetime.timedelta):
        return {"timedelta": [value.days, value.seconds, value.microseconds]}
    for base in (datetime.datetime, datetime.date, datetime.time):
        if isinstance(value, base):
            return {base.__name__: base.isoformat(value)}  # type: ignore[arg-type]
    return None


def encode(value: object, refer: Refer | None = None) -> Json:
    """Value to JSON; what is not plain data becomes a reference, or an error without `refer`."""
    return _Encoder(refer).encode(value)


def decode(data: Json, resolve: Resolve | None = None) -> object:
    """JSON to value; the inverse of `encode`. What is no value raises; nothing is executed."""
    if not isinstance(data, dict):
        if isinstance(data, list):
            raise TypeError("untagged list")
        return data
    ((tag, body),) = data.items()
    if tag in _SCALARS:
        return _SCALARS[tag](body)
    if tag in _SEQUENCES:
        return _SEQUENCES[tag](decode(item, resolve) for item in _list(body))
    if tag in _PAIRS:
        pairs = {decode(k, resolve): decode(v, resolve) for k, v in map(_list, _list(body))}
        return _PAIRS[tag](pairs)
    if tag == "named":
        fields, items = map(_list, _list(body))
        if len(fields) != len(items):
            raise ValueError("a named tuple has as many fields as items")
        named = Named(decode(item, resolve) for item in items)
        named._fields = tuple(map(str, fields))
        return named
    if tag == "range":
        return range(*(_int(decode(end)) for end in _list(body)))
    if tag == "slice":
        return slice(*(decode(end, resolve) for end in _list(body)))
    if tag in REFERENCES and resolve is not None:
        return resolve(tag, body)
    raise ValueError(f"unknown tag {tag!r}")


def _list(body: Json) -> list[Json]:
    if not isinstance(body, list):
        raise TypeError("a list was expected")
    return body


def _str(body: object) -> str:
    if not isinstance(body, str):
        raise TypeError("a text was expected")
    return body


def _int(body: object) -> int:
    if not isinstance(body, int):
        raise TypeError("an integer was expected")
    return body


def _fraction(body: Json) -> Fraction:
    above, _, below = _str(body).partition("/")
    return Fraction(int(above, 16), int(below, 16))


_SCALARS: dict[str, Callable[[Json], object]] = {
    "int": lambda body: int(_str(body), 16),
    "float": lambda body: float.fromhex(_str(body)),
    "complex": lambda body: complex(*(float.fromhex(_str(part)) for part in _list(body))),
    "bytes": lambda body: base64.b64decode(_str(body)),
    "bytearray": lambda body: bytearray(base64.b64decode(_str(body))),
    "fraction": _fraction,
    "decimal": lambda body: Decimal(_str(body)),
    "datetime": lambda body: datetime.datetime.fromisoformat(_str(body)),
    "date": lambda body: datetime.date.fromisoformat(_str(body)),
    "time": lambda body: datetime.time.fromisoformat(_str(body)),
    "timedelta": lambda body: datetime.timedelta(*(_int(part) for part in _list(body))),
}
