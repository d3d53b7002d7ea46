"""An index of recorded runs beside MLflow, for questions over many of them.

A copy of what MLflow holds, in `index.db` of the home: edges by digest, and each record. It is
brought up to date when it is opened, by what started or went on since; `rebuild` makes it anew.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from infra.home import home, tracking_uri
from infra.kept import read_kept
from infra.runs import EXPERIMENT, SeenRun, see_runs
from schemas.base import Artifact
from schemas.lineage import LineageRecord

_SCHEMA = """
create table about (key text primary key, value text);
create table runs (
    id text primary key, name text, kind text, stage text, pipeline text, status text,
    started integer, ended integer, cached integer, code text, version text, tags text, record text
);
create table edges (
    run text, way text, name text, kind text, digest text, artifact text,
    primary key (run, way, name)
) without rowid;
create table sources (
    digest text, source text, license text, package text, version text,
    primary key (digest, source)
) without rowid;
create index edges_digest on edges (digest, way);
create index runs_pipeline on runs (pipeline);
create index runs_started on runs (started);
"""
_NEXT = """
select distinct other.digest, other.artifact
from json_each(?) as near
join edges as one on one.digest = near.value and one.way = ?
join edges as other on other.run = one.run and other.way = ?
"""
_FORM = "2"
"""Of the tables; an index of another is made anew."""
_SLACK_MS = 3_600_000
"""Machines' clocks may differ by as much."""
_READERS = 8


class Indexed(NamedTuple):
    """A recorded run."""

    run: SeenRun
    record: LineageRecord
    """Of a stage that was done."""


class RunIndex:
    """The index of the runs that `tracking_uri` holds, up to date when it was opened."""

    def __init__(self, *, rebuild: bool = False) -> None:
        self.path = home() / "index.db"
        self._database = self._open(rebuild)
        self._follow()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def __enter__(self) -> "RunIndex":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self, query: str, values: Iterable[object] = ()) -> list[sqlite3.Row]:
        """What a query over its tables gives."""
        return self._database.execute(query, tuple(values)).fetchall()

    def runs(self, where: str = "1", values: Iterable[object] = ()) -> list[SeenRun]:
        """Runs that a condition over the table of runs selects, the newest first."""
        found = self.rows(f"select * from runs where {where} order by started desc, id", values)
        return [_seen(row) for row in found]

    def stages(self, where: str = "1", values: Iterable[object] = ()) -> list[Indexed]:
        """Stages that were done, selected likewise; cached answers first, then the newest first."""
        found = self.rows(
            "select * from runs where kind = 'stage' and status = 'FINISHED' and record != '' "
            f"and ({where}) order by cached desc, started desc, id",
            values,
        )
        return [_indexed(row) for row in found]

    def maker(self, digest: str) -> Indexed | None:
        """The first stage that made an artifact; one that answered from the cache is no maker."""
        found = self.rows(
            "select runs.* from edges join runs on runs.id = edges.run where digest = ? and "
            "way = 'output' order by cached, started, id limit 1",
            [digest],
        )
        return _indexed(found[0]) if found else None

    def artifact(self, digest: str) -> Artifact | None:
        """A recorded artifact by its digest."""
        found = self.rows("select artifact from edges where digest = ? limit 1", [digest])
        return Artifact.model_validate_json(found[0]["artifact"]) if found else None

    def related(self, digest: str, *, forward: bool) -> list[Artifact]:
        """All that descends from an artifact, or all that it descends from; nearest first."""
        given, taken = ("input", "output") if forward else ("output", "input")
        found: dict[str, Artifact] = {}
        near = {digest}
        while near:
            rows = self.rows(_NEXT, [json.dumps(sorted(near)), given, taken])
            met = {row["digest"]: row["artifact"] for row in rows}
            near = met.keys() - found.keys() - {digest}
            found |= {key: Artifact.model_validate_json(met[key]) for key in sorted(near)}
        return list(found.values())

    def add_sources(self, digest: str, sources: Mapping[str, Mapping[str, object]]) -> None:
        """Keep what an artifact's `sources.json` says; it never changes."""
        rows = [
            (digest, name, *(str(about.get(key, "")) for key in ("license", "package", "version")))
            for name, about in sources.items()
        ] or [(digest, "", "", "", "")]
        with self._database:
            self._database.executemany("insert or replace into sources values (?,?,?,?,?)", rows)

    def _open(self, rebuild: bool) -> sqlite3.Connection:
        if not rebuild:
            try:
                database = _connect(self.path)
                if _about(database) == _expected():
                    return database
                database.close()
            except sqlite3.Error:  # none, another program's, or a damaged one
                pass
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            aside = self.path.with_name(f".index-{uuid.uuid4().hex}")
            with closing(sqlite3.connect(aside)) as database:
                _create(database)
            aside.replace(self.path)
            return _connect(self.path)
        except (OSError, sqlite3.Error):  # a home that this process may only read
            database = sqlite3.connect(":memory:")
            database.row_factory = sqlite3.Row
            _create(database)
            return database

    def _follow(self) -> None:
        """Add what MLflow recorded since, and what went on that was not at its end."""
        newest, oldest_open = self._database.execute(
            "select max(started), min(case when status = 'RUNNING' then started end) from runs"
        ).fetchone()
        since = max(0, min(newest or 0, oldest_open or newest or 0) - _SLACK_MS)
        held = {
            row["id"]: (row["status"], row["ended"])
            for row in self.rows("select id, status, ended from runs where started >= ?", [since])
        }
        seen = see_runs(since)
        fresh = [run for run in seen if held.get(run.run_id) != (run.status, run.ended)]
        deleted = held.keys() - {run.run_id for run in seen}
        with ThreadPoolExecutor(_READERS) as pool:
            records = list(pool.map(_read_record, fresh))
        with self._database:
            for run_id in deleted:
                self._database.execute("delete from runs where id = ?", [run_id])
                self._database.execute("delete from edges where run = ?", [run_id])
            for run, record in zip(fresh, records, strict=True):
                self._put(run, record)

    def _put(self, run: SeenRun, record: LineageRecord | None) -> None:
        tags = run.tags
        self._database.execute("delete from edges where run = ?", [run.run_id])
        self._database.execute(
            "insert or replace into runs values (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            [
                run.run_id,
                run.name,
                tags.get("kind", ""),
                tags.get("stage", ""),
                tags.get("flyte_run", ""),
                run.status,
                run.started,
                run.ended,
                int("cached" in tags),
                tags.get("code", ""),
                tags.get("version", ""),
                json.dumps(tags),
                record.model_dump_json() if record else "",
            ],
        )
        self._database.executemany(
            "insert into edges values (?,?,?,?,?,?)",
            [
                (run.run_id, way, name, a.kind, a.digest, a.model_dump_json())
                for way, artifacts in (
                    ("input", record.inputs if record else {}),
                    ("output", record.outputs if record else {}),
                )
                for name, a in artifacts.items()
            ],
        )


def _read_record(run: SeenRun) -> LineageRecord | None:
    """Of a stage that was done; None if it keeps none that can be read (`k2 verify` says so)."""
    if run.tags.get("kind") != "stage" or run.status != "FINISHED":
        return None
    try:
        return LineageRecord.model_validate_json(read_kept(run.run_id, "record.json"))
    except (FileNotFoundError, ValueError):
        return None


def _create(database: sqlite3.Connection) -> None:
    with database:
        database.executescript(_SCHEMA)
        database.executemany("insert into about values (?, ?)", _expected().items())


def _expected() -> dict[str, str]:
    place = tracking_uri()
    return {"form": _FORM, "experiment": EXPERIMENT, "runs of": place}


def _about(database: sqlite3.Connection) -> dict[str, str]:
    return {row["key"]: row["value"] for row in database.execute("select key, value from about")}


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=60)
    database.row_factory = sqlite3.Row
    return database


def _seen(row: sqlite3.Row) -> SeenRun:
    return SeenRun(
        row["id"], row["name"], row["status"], row["started"], row["ended"], json.loads(row["tags"])
    )


def _indexed(row: sqlite3.Row) -> Indexed:
    return Indexed(_seen(row), LineageRecord.model_validate_json(row["record"]))
