"""The home's MLflow database: made by one process at a time, and right wherever the home is."""

import fcntl
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

from infra.home import home, plain_home, tracking_uri
from infra.kept import ARTIFACTS


def artifacts_uri() -> str:
    """Where the runs' files are."""
    return str(plain_home() / ARTIFACTS)


def prepare_home() -> None:
    """Make MLflow's tables if they are not there, and tell them where the home is now."""
    _prepare(home())


@cache
def _prepare(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two that make the tables at once break each other
        database = place / "mlflow.db"
        if not database.exists():
            from mlflow.tracking import MlflowClient

            MlflowClient(tracking_uri=tracking_uri()).search_experiments(max_results=1)
        with closing(sqlite3.connect(database, timeout=60)) as tables:
            mend_locations(tables, artifacts_uri())


def mend_locations(tables: sqlite3.Connection, place: str) -> None:
    """Where runs and models say that their files are, if the home has moved since."""
    known = tables.execute(
        "select artifact_location from experiments where artifact_location like '%/' || ?",
        [ARTIFACTS],
    ).fetchall()
    for (before,) in known:
        if before == place:
            continue
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
        ):
            tables.execute(
                f"update {table} set {column} = ? || substr({column}, ?) "
                f"where substr({column}, 1, ?) = ?",
                [place, len(before) + 1, len(before), before],
            )
    tables.commit()
