"""Semantics of tools over tables of entities: what generated tools really do.

The data is `{table: {id: {field: value}}}`. Every operation takes the data, the call's arguments in
the binding's order, and fixed parameters: the table, a field, its kind. Ids are drawn from the
table's size ever reached, kept under `_made`, so that a deleted id does not come back.
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from k2core.environments.simulator import Operation, ToolFailedError

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_LIMIT = 10**9
Data = dict[str, Any]


def create(data: Data, *values: JsonValue, table: str, kinds: Mapping[str, str]) -> JsonValue:
    """A new record with these fields, in its first state; its id."""
    fields = {
        name: check_kind(data, name, value, kind)
        for (name, kind), value in zip(kinds.items(), values, strict=False)
    }
    if "state" in kinds:
        fields["state"] = kinds["state"].partition(">")[0]
    made = data.setdefault("_made", {})
    made[table] = made.get(table, len(data[table])) + 1
    identity = f"{table}_{made[table]}"
    data[table][identity] = fields
    return identity


def show(data: Data, identity: JsonValue, *, table: str) -> JsonValue:
    """All fields of a record."""
    return dict(_record(data, table, identity))


def show_field(data: Data, identity: JsonValue, *, table: str, field: str) -> JsonValue:
    """One field."""
    value: JsonValue = _record(data, table, identity)[field]
    return value


def set_field(
    data: Data, identity: JsonValue, value: JsonValue, *, table: str, field: str, kind: str
) -> JsonValue:
    """Change one field."""
    record = _record(data, table, identity)
    record[field] = check_kind(data, field, value, kind)
    return "ok"


def delete(data: Data, identity: JsonValue, *, table: str) -> JsonValue:
    """Remove a record."""
    _record(data, table, identity)
    del data[table][identity]
    return "ok"


def list_all(data: Data, *, table: str) -> JsonValue:
    """All ids."""
    return list(data[table])


def count_all(data: Data, *, table: str) -> JsonValue:
    """How many records there are."""
    return len(data[table])


def find(data: Data, value: JsonValue, *, table: str, field: str, kind: str) -> JsonValue:
    """Ids of the records whose field has the value."""
    wanted = check_kind(data, field, value, kind, known=False)
    hits: list[JsonValue] = [i for i, r in data[table].items() if r[field] == wanted]
    return hits


def count_where(data: Data, value: JsonValue, *, table: str, field: str, kind: str) -> JsonValue:
    """How many records have the value."""
    wanted = check_kind(data, field, value, kind, known=False)
    return len([r for r in data[table].values() if r[field] == wanted])


def find_state(data: Data, *, table: str, state: str) -> JsonValue:
    """Ids of the records in a state."""
    return [i for i, record in data[table].items() if record["state"] == state]


def find_range(
    data: Data, low: JsonValue, high: JsonValue, *, table: str, field: str, kind: str
) -> JsonValue:
    """Ids of the records whose field lies between two values, both included."""
    first, last = (check_kind(data, field, v, kind) for v in (low, high))
    if first > last:
        raise ToolFailedError(f"{first} is above {last}")
    return [i for i, record in data[table].items() if first <= record[field] <= last]


def add_to(
    data: Data, identity: JsonValue, amount: JsonValue, *, table: str, field: str, sign: int
) -> JsonValue:
    """Raise or lower a number that never falls below 0; its new value."""
    record, by = _record(data, table, identity), _amount(amount)
    if record[field] + sign * by < 0:
        raise ToolFailedError(f"{field} of {identity} is only {record[field]}")
    value: JsonValue = _rounded(record[field] + sign * by)
    record[field] = value
    return value


def move_between(
    data: Data,
    source: JsonValue,
    target: JsonValue,
    amount: JsonValue,
    *,
    table: str,
    field: str,
) -> JsonValue:
    """Take an amount from one record's number to another's; both or neither change."""
    giver, taker, by = _record(data, table, source), _record(data, table, target), _amount(amount)
    if source == target:
        raise ToolFailedError(f"{source} cannot give to itself")
    if giver[field] < by:
        raise ToolFailedError(f"{field} of {source} is only {giver[field]}")
    giver[field], taker[field] = _rounded(giver[field] - by), _rounded(taker[field] + by)
    return "ok"


def aggregate(data: Data, *, table: str, field: str, how: str) -> JsonValue:
    """Sum or mean of a field; of no records, 0."""
    values = [record[field] for record in data[table].values()]
    total = sum(values)
    found: JsonValue = _rounded(total if how == "sum" else total / max(len(values), 1))
    return found


def extreme(data: Data, *, table: str, field: str, how: str) -> JsonValue:
    """Id of the record with the largest or smallest value, the first of equals."""
    if not data[table]:
        raise ToolFailedError(f"there is no {table}")
    choose = max if how == "max" else min
    best: str = choose(data[table], key=lambda i: data[table][i][field])
    return best


def compare(
    data: Data, first: JsonValue, second: JsonValue, *, table: str, field: str
) -> JsonValue:
    """Which of two records has more; `equal` if neither."""
    one, other = (_record(data, table, i)[field] for i in (first, second))
    larger = first if one > other else second
    return "equal" if one == other else larger


def advance(data: Data, identity: JsonValue, *, table: str, before: str, after: str) -> JsonValue:
    """Take a record from a state into the next; from another state it is refused."""
    record = _record(data, table, identity)
    if record["state"] != before:
        raise ToolFailedError(f"{identity} is {record['state']}, not {before}")
    record["state"] = after
    return "ok"


def end(data: Data, identity: JsonValue, *, table: str, after: str, last: str) -> JsonValue:
    """End a record's life early; refused where it has ended."""
    record = _record(data, table, identity)
    if record["state"] in (after, last):
        raise ToolFailedError(f"{identity} is {record['state']} already")
    record["state"] = after
    return "ok"


ENTITIES: Mapping[str, Operation] = {
    operation.__name__: operation
    for operation in (
        *(create, show, show_field, set_field, delete, list_all, count_all, find, count_where),
        *(find_state, find_range, add_to, move_between, aggregate, extreme, compare),
        *(advance, end),
    )
}
CHANGES = frozenset({"create", "set_field", "delete", "add_to", "move_between", "advance", "end"})
"""Operations that change the data; all others only read."""


def check_kind(data: Data, name: str, value: JsonValue, kind: str, *, known: bool = True) -> Any:
    """The value if it is of the kind.

    Args:
        data: where references lead.
        name: the field, for the error.
        value: what the caller gave.
        kind: `text`, `int`, `number`, `date`, `bool`, `ref(TABLE)` or a life cycle.
        known: whether a reference must lead to a record.

    Raises:
        ToolFailedError: it is not; says what would be right.
    """
    if kind.startswith("ref("):
        table = kind[4:-1]
        if not isinstance(value, str) or (known and value not in data.get(table, {})):
            raise ToolFailedError(f"unknown {table} {str(value)[:20]}")
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    right = {
        "text": isinstance(value, str) and bool(value.strip()),
        "int": type(value) is int and 0 <= value <= _LIMIT,
        "number": number and 0 <= value <= _LIMIT,  # type: ignore[operator]
        "date": isinstance(value, str) and bool(_DATE.fullmatch(value)),
        "bool": isinstance(value, bool),
    }.get(kind, value in re.split(r"[>|]", kind))
    if not right:
        wanted = kind if ">" not in kind else "one of " + ", ".join(re.split(r"[>|]", kind))
        raise ToolFailedError(f"{name} must be {wanted}")
    return value


def _record(data: Data, table: str, identity: JsonValue) -> dict[str, Any]:
    if not isinstance(identity, str) or identity not in data[table]:
        raise ToolFailedError(f"unknown {table} {str(identity)[:20]}")
    found: dict[str, Any] = data[table][identity]
    return found


def _amount(value: JsonValue) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LIMIT:
        raise ToolFailedError("the amount must be a number above 0")
    return value


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else round(value, 2)
