"""What all pages share: one file without a request to anywhere else, light and dark."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

_HERE = Path(__file__).parent


def render_fragment(body: str) -> str:
    """What stands in somebody else's page, such as a Flyte report.

    Args:
        body: HTML that is escaped already.
    """
    style, script = ((_HERE / name).read_text() for name in ("page.css", "page.js"))
    return f"<style>\n{style}</style>\n{body}\n<script>\n{script}</script>\n"


def render_document(title: str, body: str) -> str:
    """A whole page.

    Args:
        title: of the window.
        body: HTML that is escaped already.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title></head>\n<body>\n{render_fragment(body)}</body></html>\n"
    )


def render_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()
) -> str:
    """A table whose cells are HTML; `numbers` are the places of columns that stand to the right."""
    kinds = [' class="number"' if place in numbers else "" for place in range(len(heads))]

    def line(tag: str, cells: Sequence[str]) -> str:
        found = zip(kinds, cells, strict=True)
        return f"<tr>{''.join(f'<{tag}{kind}>{cell}</{tag}>' for kind, cell in found)}</tr>"

    head = line("th", [escape(head) for head in heads]) if any(heads) else ""
    body = "".join(line("td", row) for row in rows)
    return f'<div class="wide"><table>{head}{body}</table></div>'


def render_facts(facts: Mapping[str, str]) -> str:
    """Names and values; values are HTML."""
    return render_table(
        ("", ""), [(f"<b>{escape(name)}</b>", said) for name, said in facts.items()]
    )
