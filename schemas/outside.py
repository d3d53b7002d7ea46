"""Text and JSON from outside, made encodable and bounded before anything keeps them.

Models, tools, endpoints and pages write what no file, tokenizer or parser of ours takes: lone
surrogates, brackets a hundred thousand deep, numbers without end. Messages are made of
`OutsideText`, and what others call JSON is read by `read_json`: nothing behind them meets the rest.
"""

import json
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, JsonValue

MAX_DEPTH = 100
"""Lists and objects inside one another, in any JSON that is read here."""


class NotJsonError(ValueError):
    """A text that is no JSON, or JSON beyond the bounds; says which."""


def make_encodable(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which no encoding has."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


OutsideText = Annotated[str, AfterValidator(make_encodable)]
"""A text that anybody may have written; can be encoded whatever it was."""


def read_json(text: str | bytes) -> JsonValue:
    """JSON as RFC 8259 has it: finite numbers, at most `MAX_DEPTH` deep, strings encodable.

    Raises:
        NotJsonError: says what is wrong.
    """
    try:
        value: JsonValue = json.loads(text, parse_float=_finite, parse_constant=_refuse)
    except RecursionError:
        raise NotJsonError(f"nested more than {MAX_DEPTH} deep") from None
    except ValueError as error:  # bad bytes and numbers of 5,000 digits, too
        raise NotJsonError(str(error)[:200]) from None
    return make_plain(value)


def make_plain(value: JsonValue) -> JsonValue:
    """A JSON value whose strings are encodable.

    Raises:
        NotJsonError: nested too deeply.
    """
    if not isinstance(value, dict | list):
        return make_encodable(value) if isinstance(value, str) else value
    if _depth(value) > MAX_DEPTH:
        raise NotJsonError(f"nested more than {MAX_DEPTH} deep")
    return _plain(value)


def _depth(value: JsonValue) -> int:
    """Lists and objects inside one another; walked by level, so that no depth is too much."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [inner for outer in level for inner in _inner(outer)]
    return depth


def _inner(value: JsonValue) -> list[JsonValue]:
    """The lists and objects directly in a value."""
    values = value.values() if isinstance(value, dict) else value
    assert isinstance(values, Iterable)
    return [inner for inner in values if isinstance(inner, dict | list)]


def _plain(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return make_encodable(value)
    if isinstance(value, dict):
        return {make_encodable(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if value - value:  # infinite
        raise ValueError(f"{digits[:20]} is beyond a double")
    return value


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
