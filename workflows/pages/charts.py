"""Curves, bars and the graph of a run, as SVG that needs nothing else."""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

from infra.curves import CurvePoint

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 200, 52, 22
_TICKS = 5


class Chart(NamedTuple):
    """Curves over one axis of steps."""

    title: str
    series: Mapping[str, Sequence[CurvePoint]]
    unit: str = "step"


class Bar(NamedTuple):
    """A rate with its interval, all between 0 and 1."""

    kind: str
    """`base`, `sft` or `policy`: its colour."""
    rate: float
    low: float
    high: float


def render_chart(chart: Chart) -> str:
    """Curves with a readout at the pointer; empty where there is nothing to draw."""
    series = {
        name: [point for point in points if math.isfinite(point.value)]
        for name, points in chart.series.items()
    }
    series = {name: points for name, points in series.items() if points}
    if not series:
        return ""
    steps = [point.step for points in series.values() for point in points]
    values = [point.value for points in series.values() for point in points]
    first, last = min(steps), max(max(steps), min(steps) + 1)
    low, high = min(values), max(values)
    room = (high - low or abs(high) or 1.0) * 0.05
    low, high = low - room, high + room
    width, height = _WIDTH - _LEFT - 8, _HEIGHT - _BOTTOM - 8
    lines = "".join(
        f'<polyline class="curve" style="stroke:var(--c{place % 4})" points="'
        + " ".join(f"{step},{(high - value) / (high - low) * 1000:.1f}" for step, value in points)
        + '"/>'
        for place, points in enumerate(series.values())
    )
    keys = "".join(
        f'<span class="key" style="background:var(--c{place % 4})"></span>{escape(name)}'
        for place, name in enumerate(series)
    )
    data = {
        "range": [first, last],
        "series": [{"name": name, "points": points} for name, points in series.items()],
    }
    return (
        f'<figure class="chart"><figcaption>{escape(chart.title)}{keys}</figcaption>'
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" data-span="{_LEFT} {width}" '
        f'role="img" aria-label="{escape(chart.title)}">{_grid(first, last, low, high)}'
        f'<svg class="lines" x="{_LEFT}" y="8" width="{width}" height="{height}" '
        f'viewBox="{first} 0 {last - first} 1000" preserveAspectRatio="none">{lines}</svg>'
        f'<line class="cursor" x1="0" x2="0" y1="8" y2="{8 + height}"/></svg>'
        f'<div class="readout">{escape(chart.unit)}s {first} to {last}; '
        "drag to look closer, double-click to see all</div>"
        f'<script type="application/json">{_json(data)}</script></figure>'
    )


def _json(data: object) -> str:
    """JSON inside a page: no text of it ends the element that it stands in."""
    return json.dumps(data).replace("<", "\\u003c")


def _grid(first: int, last: int, low: float, high: float) -> str:
    width, height = _WIDTH - _LEFT - 8, _HEIGHT - _BOTTOM - 8
    parts = []
    for value in _round_values(low, high):
        y = 8 + (high - value) / (high - low) * height
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + width}" y1="{y:.0f}" y2="{y:.0f}"/>'
            f'<text class="faint" x="{_LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">'
            f"{value:.4g}</text>"
        )
    for place in range(_TICKS):
        share = place / (_TICKS - 1)
        anchor = ("start", "middle", "end")[(place > 0) + (place == _TICKS - 1)]
        parts.append(
            f'<text class="faint tick" x="{_LEFT + share * width:.0f}" y="{_HEIGHT - 5}" '
            f'text-anchor="{anchor}">{math.floor(first + share * (last - first) + 0.5)}</text>'
        )
    return "".join(parts)


def _round_values(low: float, high: float) -> list[float]:
    """Values that people count by, 1, 2 or 5 times a power of ten apart, three to six of them."""
    rough = (high - low) / _TICKS
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * by for by in (1, 2, 5, 10) if size * by >= rough)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def render_bars(rows: Mapping[str, Sequence[Bar]]) -> str:
    """Horizontal bars with whiskers, a group a row."""
    bar, gap, left, width = 12, 12, 150, 400
    parts, top = [], 4
    for name, group in rows.items():
        middle = top + bar * len(group) / 2 + 4
        parts.append(f'<text x="0" y="{middle:.0f}">{escape(name)}</text>')
        for at in group:
            y = top + bar / 2
            said = f"{at.kind} {at.rate:.1%}, 95 % from {at.low:.1%} to {at.high:.1%}"
            parts.append(
                f"<g><title>{escape(f'{name}: {said}')}</title>"
                f'<rect x="{left}" y="{top}" width="{at.rate * width:.1f}" height="{bar - 2}" '
                f'style="fill:var(--{at.kind})"/>'
                f'<line class="whisker" x1="{left + at.low * width:.1f}" '
                f'x2="{left + at.high * width:.1f}" y1="{y:.0f}" y2="{y:.0f}"/>'
                f'<text class="faint" x="{left + at.high * width + 6:.0f}" y="{y + 4:.0f}">'
                f"{at.rate:.0%}</text></g>"
            )
            top += bar
        top += gap
    return (
        f'<svg viewBox="0 0 {left + width + 50} {top}" role="img" aria-label="pass rates">'
        f"{''.join(parts)}</svg>"
    )


class Node(NamedTuple):
    """A stage in the graph."""

    name: str
    said: str


class Edge(NamedTuple):
    """An artifact that one stage made and another took."""

    source: str
    target: str
    said: str


def render_graph(nodes: Sequence[Node], edges: Sequence[Edge]) -> str:
    """The stages from top to bottom, each a link to its section, and what flows between them."""
    width, height, step = 190, 38, 58
    place = {node.name: number for number, node in enumerate(nodes)}
    fed = {edge.target for edge in edges}
    column = {
        node.name: int(number > 0 and node.name not in fed) for number, node in enumerate(nodes)
    }
    lefts = {name: 10 + 60 * at for name, at in column.items()}
    parts = []
    for edge in edges:
        top, end = (place[name] * step + 8 for name in (edge.source, edge.target))
        near = place[edge.target] - place[edge.source] == 1
        if near:
            x, to = (lefts[name] + width / 2 for name in (edge.source, edge.target))
            path = f"M{x} {top + height} L{to} {end}"
        else:
            x, to = (lefts[name] + width for name in (edge.source, edge.target))
            out = max(x, to) + 18 + 17 * (place[edge.target] - place[edge.source])
            path = f"M{x} {top + height / 2} C{out} {top + 20} {out} {end} {to} {end + height / 2}"
        said = f"{edge.source} to {edge.target}: {edge.said}"
        parts.append(f'<path class="edge" d="{path}"><title>{escape(said)}</title></path>')
    for node in nodes:
        x, y = lefts[node.name], place[node.name] * step + 8
        parts.append(
            f'<a class="node" href="#{escape(node.name)}"><rect x="{x}" y="{y}" rx="6" '
            f'width="{width}" height="{height}"/>'
            f'<text x="{x + 10}" y="{y + 16}" font-weight="600">{escape(node.name)}</text>'
            f'<text class="faint" x="{x + 10}" y="{y + 31}">{escape(node.said)}</text></a>'
        )
    return (
        '<div class="wide"><svg class="graph" role="img" aria-label="lineage" '
        f'viewBox="0 0 440 {len(nodes) * step + 4}">{"".join(parts)}</svg></div>'
    )


def thin(points: Sequence[CurvePoint], most: int = 400) -> list[CurvePoint]:
    """At most so many points: of each stretch its smallest and its largest, so that spikes stay."""
    if len(points) <= most:
        return list(points)
    bounds = [round(n * len(points) / (most // 2)) for n in range(most // 2 + 1)]
    found: list[CurvePoint] = []
    for first, last in pairwise(bounds):
        part = points[first:last]
        ends = {min(part, key=lambda p: p.value), max(part, key=lambda p: p.value)}
        found += sorted(ends)
    return found
