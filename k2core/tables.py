"""Parquet tables shard by shard, held to their promise on the way in and on the way out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

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
    frame = _validate(pl.DataFrame(rows, infer_schema_length=None), model, path)
    aside = path.with_suffix(".aside")
    frame.write_parquet(aside)
    aside.rename(path)


def _validate(frame: pl.DataFrame, model: type[pa.DataFrameModel], path: Path) -> pl.DataFrame:
    try:
        return pl.DataFrame(model.validate(frame, lazy=True))
    except (SchemaError, SchemaErrors) as error:
        cases = getattr(error, "failure_cases", None)
        text = str(cases.head(5).to_dicts()) if isinstance(cases, pl.DataFrame) else str(error)
        raise TableError(f"{path} breaks {model.__name__}: {text}") from error
