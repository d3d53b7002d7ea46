"""An answer: a sentence and a table, for people or as JSON."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from workflows.as_json import print_json


class AuditAnswer(NamedTuple):
    """What a question gives."""

    title: str
    rows: Sequence[Mapping[str, object]]
    """All with the same columns."""

    def show(self, as_json: bool) -> None:
        """Print it."""
        if as_json:
            print_json({"answer": self.title, "rows": list(self.rows)})
            return
        typer.echo(self.title)
        if self.rows:
            table = Table(*map(str, self.rows[0]), box=None, pad_edge=False)
            for row in self.rows:
                table.add_row(*(_cell(value) for value in row.values()))
            Console(soft_wrap=True, width=200).print(table)


def short(digest: str) -> str:
    """A digest as people compare it; commands take it as it is."""
    return digest.removeprefix("sha256:")[:12]


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("[", "\\[")
