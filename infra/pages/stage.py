"""A stage's artifacts and config on a page: the same on its own and on its run's."""

import json
from collections.abc import Iterable, Mapping
from html import escape

from infra.pages import render_table
from schemas.base import Artifact
from schemas.lineage import LineageRecord


def render_work(record: LineageRecord) -> str:
    """What went in, what came out, and the config."""
    rows = [*_rows("in", record.inputs), *_rows("out", record.outputs)]
    config = escape(json.dumps(record.configs, indent=1))
    return (
        f"{render_table(('', 'as', 'kind', 'digest', 'counts'), rows)}"
        f"<details><summary>Config</summary><pre>{config}</pre></details>"
    )


def render_stage(record: LineageRecord, run: str, parts: Iterable[str]) -> str:
    """The body of a stage's own page.

    Args:
        record: what it did.
        run: the name of the run that it belongs to.
        parts: its plots, tables and dialogues as HTML.
    """
    about = f"Stage of run {escape(run)}, version {escape(record.version)}"
    head = f'<h1>{record.stage}</h1><p class="faint">{about}</p>{render_work(record)}'
    return "\n".join((head, *parts))


def _rows(way: str, artifacts: Mapping[str, Artifact]) -> list[tuple[str, ...]]:
    return [
        (
            way,
            escape(name),
            escape(artifact.kind),
            f'<code class="digest">{artifact.digest.removeprefix("sha256:")[:12]}</code>',
            escape(artifact.describe_counts()),
        )
        for name, artifact in artifacts.items()
    ]
