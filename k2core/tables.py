"""Parquet tables shard by shard, held to their promise on the way in and on the way out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaError, SchemaErrors


class TableError(ValueError):
    """A shard that is not what it should be; the message names file, column and row."""


def list_shards(folder: Path) -> list[Path]:
    """The shards of a table in order.

    Raises:
        TableError: there are none.
    """
    shards = sorted(folder.glob("*.parquet"))
    if not shards:
        raise TableError(f"{folder} holds no parquet shards: rerun the stage that writes them")
    return shards


def read_shard(path: Path, model: type[pa.DataFrameModel]) -> pl.DataFrame:
    """A shard's rows, validated.

    Raises:
        TableError: unreadable, or rows that break the model.
    """
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TableError(
            f"{path} is no readable parquet file ({error}): rerun the stage that writes it"
        ) from error
    return _validate(frame, model, path)


def write_shard(
    path: Path, model: type[pa.DataFrameModel], rows: Sequence[Mapping[str, object]]
) -> None:
    """Write validated rows aside, then rename: a killed run leaves no half a shard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = _validate(_make_frame(rows), model, path)
    aside = path.with_suffix(".aside")
    frame.write_parquet(aside)
    aside.rename(path)


def _make_frame(rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    """Rows of plain values column by column, in a quarter of the time; others as they are."""
    first = rows[0] if rows else {}
    plain = all(isinstance(value, (str, int, float)) for value in first.values())
    if plain and all(row.keys() == first.keys() for row in rows):
        try:
            return pl.DataFrame({name: [row[name] for row in rows] for name in first})
        except TypeError:  # numbers of two types
            pass
    return pl.DataFrame(rows, infer_schema_length=None)


_HOLDS: Mapping[str, Callable[[pl.Expr, Mapping[str, Any]], pl.Expr]] = {
    "isin": lambda column, said: column.is_in(list(said["allowed_values"])),
    "str_matches": lambda column, said: column.str.contains(f"^(?:{said['pattern']})"),
    "greater_than": lambda column, said: column > said["min_value"],
    "greater_than_or_equal_to": lambda column, said: column >= said["min_value"],
    "less_than_or_equal_to": lambda column, said: column <= said["max_value"],
}
"""Of pandera's checks those that promises use, by name."""


def _surely_holds(frame: pl.DataFrame, model: type[pa.DataFrameModel]) -> bool:
    """Whether all that is promised holds, in one look; if not, or unsure, pandera says what breaks.

    It takes ten milliseconds a table, whatever its rows: as long as ten documents.
    """
    schema = model.to_schema()
    if set(frame.columns) != set(schema.columns) or schema.checks or schema.unique:
        return False
    if schema.ordered:
        return False
    held = []
    for name, column in schema.columns.items():
        plain = not (column.nullable or column.coerce or column.regex or column.parsers)
        known = all(check.name in _HOLDS for check in column.checks)
        if not (plain and known and column.dtype.type == frame.schema[name]):
            return False
        held.append(pl.col(name).is_not_null().all().alias(f"{name} is there"))
        if column.unique:
            held.append(pl.col(name).is_unique().all().alias(f"{name} is unique"))
        for check in column.checks:
            holds = _HOLDS[str(check.name)](pl.col(name), check.statistics or {})
            held.append(holds.all().alias(f"{name} {check.name}"))
    return all(frame.select(held).row(0))


def _validate(frame: pl.DataFrame, model: type[pa.DataFrameModel], path: Path) -> pl.DataFrame:
    if _surely_holds(frame, model):
        return frame
    try:
        return pl.DataFrame(model.validate(frame, lazy=True))
    except (SchemaError, SchemaErrors) as error:
        cases = getattr(error, "failure_cases", None)
        text = str(cases.head(5).to_dicts()) if isinstance(cases, pl.DataFrame) else str(error)
        raise TableError(f"{path} breaks {model.__name__}: {text}") from error
