"""Semantics of the simulated tools: a calculator, records with close matches, a ledger."""

import difflib
from collections.abc import Mapping

from pydantic import JsonValue

from k2core.environments.simulator import Operation, ToolFailedError

_MAX_NUMBER = 10**9


def add(_: object, a: JsonValue, b: JsonValue) -> JsonValue:
    """Sum of two integers."""
    return _integer(a) + _integer(b)


def multiply(_: object, a: JsonValue, b: JsonValue) -> JsonValue:
    """Product of two integers."""
    return _integer(a) * _integer(b)


def larger(_: object, a: JsonValue, b: JsonValue) -> JsonValue:
    """The larger of two integers."""
    return max(_integer(a), _integer(b))


def read(data: Mapping[str, Mapping[str, JsonValue]], key: JsonValue, *, table: str) -> JsonValue:
    """A record's value; an unknown key is answered with the closest known one, if any is close."""
    return data[table][_known(data[table], key)]


def read_balance(data: Mapping[str, JsonValue], owner: JsonValue) -> JsonValue:
    """What an owner has."""
    return data[_known(data, owner)]


def move(
    data: dict[str, int], source: JsonValue, target: JsonValue, amount: JsonValue
) -> JsonValue:
    """Move an amount from one owner to another."""
    giver, taker, number = _known(data, source), _known(data, target), _integer(amount)
    if giver == taker:
        raise ToolFailedError(f"{giver} cannot give to {taker}")
    if number <= 0:
        raise ToolFailedError("amount must be above 0")
    if data[giver] < number:
        raise ToolFailedError(f"{giver} has only {data[giver]}")
    data[giver] -= number
    data[taker] += number
    return "ok"


def find_closest(records: Mapping[str, object], text: str) -> str | None:
    """The known key that is most like the text, if any is."""
    close = difflib.get_close_matches(text, list(records), n=1, cutoff=0.6)
    return close[0] if close else None


CALCULATOR: Mapping[str, Operation] = {"add": add, "multiply": multiply, "larger": larger}
RECORDS: Mapping[str, Operation] = {"read": read}
LEDGER: Mapping[str, Operation] = {"read_balance": read_balance, "move": move}


def _integer(value: JsonValue) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # to JSON Schema 5.0 is an integer
    if type(value) is not int or abs(value) > _MAX_NUMBER:
        raise ToolFailedError(f"not an integer: {str(value)[:20]}")
    return value


def _known(records: Mapping[str, object], key: JsonValue) -> str:
    if isinstance(key, str) and key in records:
        return key
    text = str(key)[:20]
    close = find_closest(records, text)
    suggestion: dict[str, JsonValue] = {"did_you_mean": close} if close else {}
    raise ToolFailedError(f"unknown {text}", **suggestion)
