"""The parts of a stage's page: plots, tables and dialogues."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from infra.pages import render_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"system": "#999", "user": "#2b6cb0", "assistant": "#2f855a", "tool": "#b7791f"}
_ELSE = "#c53030"
_TURN = (
    "border-left:4px solid {colour};margin:5px 0;padding:3px 10px;max-width:52em;"
    "font:13px/1.4 sans-serif;white-space:pre-wrap"
)


def figure_png(figure: "Figure") -> bytes:
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()


def plot_html(title: str, png: bytes) -> str:
    """A titled inline picture."""
    data = base64.b64encode(png).decode()
    return f'<h3>{html.escape(title)}</h3><img src="data:image/png;base64,{data}"/>'


def table_html(title: str, rows: Sequence[Mapping[str, object]]) -> str:
    """A titled table; the columns are the first row's keys."""
    if not rows:
        return f"<h3>{html.escape(title)}</h3><p>empty</p>"
    columns = list(rows[0])
    cells = [[html.escape(_cell(row.get(column))) for column in columns] for row in rows]
    return f"<h3>{html.escape(title)}</h3>{render_table([str(c) for c in columns], cells)}"


def dialogue_html(title: str, turns: Sequence[tuple[str, str]]) -> str:
    """A titled dialogue, a coloured block a turn: who speaks, and what."""
    blocks = "".join(
        f'<div style="{_TURN.format(colour=_COLOURS.get(who.split()[0], _ELSE))}">'
        f"<b>{html.escape(who)}</b>\n{html.escape(text)}</div>"
        for who, text in turns
    )
    return f"<h3>{html.escape(title)}</h3>{blocks}"


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
