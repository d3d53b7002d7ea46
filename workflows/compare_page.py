"""A comparison as one HTML page: bars with intervals, lengths, and the dialogues side by side."""

from html import escape

from k2core.evaluate.compare import CategoryRow, Comparison, Flip, Side

_WIDTH, _BAR, _GAP = 360, 13, 10
_STYLE = """
:root { color-scheme: light dark; --one: #8a94a6; --other: #2f6fde; --line: #8884; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: right; }
td:first-child, th:first-child { text-align: left; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
.one { fill: var(--one); } .other { fill: var(--other); }
.whisker { stroke: currentColor; stroke-width: 1.2; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; }
details { padding: .3rem .7rem; }
.sides { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); }
pre { background: var(--soft); overflow-wrap: anywhere; padding: .6rem; white-space: pre-wrap; }
"""


def render_page(found: Comparison, most_flips: int = 60) -> str:
    """The page, without a request to anywhere else."""
    one, other = (escape(name) for name in found.names)
    keys = (
        f'<p><span class="key" style="background:var(--one)"></span> {one} &nbsp; '
        f'<span class="key" style="background:var(--other)"></span> {other} &nbsp; '
        "with 95 % intervals, clustered by item</p>"
    )
    shown = found.flips[:most_flips]
    left = len(found.flips) - len(shown)
    more = f"<p>{left} more are not shown.</p>" if left else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{one} against {other}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{one} against {other}</h1>{keys}"
        f'<div class="wide">{_bars(found.rows)}</div>'
        "<h2>Won and lost</h2><p>Item by item; p of the exact paired test (McNemar's, where each "
        "item has one sample), + and - where it stays below 5 % when corrected for the number of "
        f'categories (Holm).</p><div class="wide">{_table(found)}</div>'
        f"<h2>What they said</h2>{''.join(_flip(flip, found.names) for flip in shown)}{more}"
        "</body></html>\n"
    )


def _bars(rows: list[CategoryRow]) -> str:
    height = len(rows) * (2 * _BAR + _GAP) + 24
    parts = []
    for place, row in enumerate(rows):
        top = place * (2 * _BAR + _GAP)
        parts.append(f'<text x="0" y="{top + _BAR + 4}">{escape(row.category)}</text>')
        parts.append(_bar(row.one, top, "one"))
        parts.append(_bar(row.other, top + _BAR, "other"))
    for percent in range(0, 101, 25):
        x = 200 + _WIDTH * percent / 100
        parts.append(f'<text x="{x:.0f}" y="{height - 4}" text-anchor="middle">{percent}%</text>')
    return (
        f'<svg role="img" aria-label="pass rates" width="600" height="{height}" '
        f'viewBox="0 0 600 {height}">{"".join(parts)}</svg>'
    )


def _bar(side: Side, top: int, kind: str) -> str:
    low, rate, high = (200 + _WIDTH * x for x in (side.rate.low, side.rate.rate, side.rate.high))
    middle = top + _BAR / 2
    return (
        f'<rect class="{kind}" x="200" y="{top}" width="{rate - 200:.1f}" height="{_BAR - 2}"/>'
        f'<line class="whisker" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
    )


def _table(found: Comparison) -> str:
    heads = ("", *found.names, "won", "lost", "p", "", "tokens an answer")
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells(row))}</tr>"
        for row in found.rows
    )
    return f"<table><tr>{''.join(f'<th>{escape(h)}</th>' for h in heads)}</tr>{body}</table>"


def cells(row: CategoryRow) -> tuple[str, ...]:
    """A category's numbers as they are written everywhere."""
    rates = (
        f"{s.rate.rate:.0%} [{100 * s.rate.low:.0f}, {100 * s.rate.high:.0f}]"
        for s in (row.one, row.other)
    )
    change = row.change
    lengths = f"{row.one.mean_tokens:.0f} -> {row.other.mean_tokens:.0f}"
    won, lost = str(change.gained), str(change.lost)
    return (row.category, *rates, won, lost, f"{change.p_value:.2g}", change.mark, lengths)


def _flip(flip: Flip, names: tuple[str, str]) -> str:
    sides = "".join(
        f"<div><b>{escape(name)}</b>: {escape(reason) or 'passed'}<pre>{escape(said)}</pre></div>"
        for name, reason, said in zip(names, flip.reasons, flip.said, strict=True)
    )
    word = "won" if flip.won else "lost"
    return (
        f"<details><summary>{word}: {escape(flip.item)}</summary>"
        f'<div class="sides">{sides}</div></details>'
    )
