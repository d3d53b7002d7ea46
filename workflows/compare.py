"""`k2 compare`: two models on the same items, in the terminal, as JSON or as a page."""

import json
from pathlib import Path

import typer
from polars.exceptions import PolarsError
from rich.console import Console
from rich.table import Table

from infra.index import RunIndex
from k2core.evaluate.compare import Answered, Comparison, compare, read_answers
from k2core.tables import TableError
from schemas.base import Artifact
from schemas.evaluate import CHECKPOINTS
from tasks.store import published_folder
from workflows.compare_page import cells, render_page
from workflows.errors import MendableError
from workflows.find import LATEST, find_artifact

ITEMS = "items.parquet"


def compare_models(one: str, other: str, *, as_json: bool, html: Path | None, show: int) -> None:
    """Print what the second won and lost against the first."""
    try:
        found = compare(find_answers(one), find_answers(other))
    except ValueError as error:
        raise MendableError(str(error)) from None
    if html is not None:
        try:
            html.write_text(render_page(found), encoding="utf-8")
        except OSError as error:
            raise MendableError(f"--html {html}: {error.strerror}") from None
        typer.echo(f"written to {html}", err=True)
    if as_json:
        typer.echo(json.dumps(to_json(found), indent=1))
        return
    table = Table("", *found.names, "won", "lost", "p", "", "tokens an answer")
    for row in found.rows:
        table.add_row(*cells(row), end_section=row is found.rows[-2])
    console = Console()
    console.print(table)
    if found.only_one:
        typer.echo(f"{found.only_one} items were asked of one of them only and are left out")
    for flip in found.flips[:show]:
        console.rule(f"{'won' if flip.won else 'lost'}: {flip.item}")
        for name, reason, said in zip(found.names, flip.reasons, flip.said, strict=True):
            typer.secho(f"{name}: {reason or 'passed'}", bold=True)
            typer.echo(said)


def find_answers(target: str) -> Answered:
    """A folder that `k2 evaluate` wrote, or RUN/CHECKPOINT of a recorded evaluation.

    Raises:
        MendableError: neither; says what would be.
    """
    folder = Path(target).expanduser()
    if (folder / ITEMS).is_file():
        try:
            return read_answers(folder / ITEMS, target)
        except (TableError, OSError, PolarsError) as error:
            said = str(error).splitlines()[0]
            raise MendableError(f"{folder / ITEMS} is no table of answers: {said}") from None
    run, _, checkpoint = target.rpartition("/")
    if checkpoint not in CHECKPOINTS:
        raise MendableError(
            f"{target}: name a folder of `k2 evaluate --out`, or RUN/CHECKPOINT with one of "
            f"{', '.join(CHECKPOINTS)}, as in latest/policy"
        )
    artifact = _find_evaluation(run)
    return read_answers(published_folder(artifact) / "answers" / f"{checkpoint}.parquet", target)


def _find_evaluation(run: str) -> Artifact:
    if run not in ("", LATEST):
        return find_artifact(run, ("evaluation",))
    with RunIndex() as index:
        stages = sorted(index.stages(), key=lambda made: -made.run.started)
    made = [a for r in stages for a in r.record.outputs.values() if a.kind == "evaluation"]
    if not made:
        raise MendableError("no evaluation is recorded yet: `k2 run` makes one")
    return made[0]


def to_json(found: Comparison) -> dict[str, object]:
    """The comparison for other programs."""
    return {
        "names": found.names,
        "rows": [
            {
                "category": row.category,
                "rates": [side.rate.model_dump() for side in (row.one, row.other)],
                "mean_tokens": [side.mean_tokens for side in (row.one, row.other)],
                **row.change.model_dump(),
                "mark": row.change.mark,
            }
            for row in found.rows
        ],
        "flips": [{"category": f.category, "item": f.item, "won": f.won} for f in found.flips],
        "asked_of_one_only": found.only_one,
    }
