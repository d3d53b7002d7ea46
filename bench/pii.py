"""Personal data and secrets: what is found of a labelled set, beside Presidio and datatrove.

    python -m bench.pii [--show 10]

2,000 lines (`bench.pii_lines`) through `k2core.clean.privacy` as cleaning calls it. A value counts
as found where a span of its kind covers at least half of it; any other span is a false one.
Presidio's analyzer runs with its own recognizers for the kinds and context words, over a blank
spaCy pipeline, since spaCy's models are in no package, at the threshold that gives it the best F1;
it knows no keys. datatrove's formatter knows addresses of mail and of machines. Both are told which
kinds count: F1 is over the kinds that all of Presidio's knows. The last line is `pii ratio=R`: our
F1 over Presidio's.
"""

import argparse
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.contest import run_peer
from bench.pii_lines import Line, Span, make_lines
from k2core.clean.personal import KINDS
from k2core.clean.privacy import redact

_PLACEHOLDER = re.compile(f"<({'|'.join(kind.name.upper() for kind in KINDS)})>")
_ALL = tuple(kind.name for kind in KINDS)
_SHARED = tuple(name for name in _ALL if name != "key")


class Tally(NamedTuple):
    """Of a kind, or of several."""

    found: int
    missed: int
    false: int

    @property
    def precision(self) -> float:
        """Share of what was found that is right."""
        return self.found / max(1, self.found + self.false)

    @property
    def recall(self) -> float:
        """Share of the values that were found."""
        return self.found / max(1, self.found + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.found / max(1, 2 * self.found + self.missed + self.false)


def find_ours(text: str) -> list[Span]:
    """Spans that cleaning replaces: the pieces between placeholders say where they were."""
    pieces = _PLACEHOLDER.split(redact(text).text)
    found = re.fullmatch("(.+?)".join(map(re.escape, pieces[::2])), text, re.DOTALL)
    if found is None:
        raise ValueError(f"{text!r} is not what was redacted to {pieces}")
    return [Span(*found.span(number), kind.lower()) for number, kind in enumerate(pieces[1::2], 1)]


def tally(lines: Sequence[Line], found: Sequence[Sequence[Span]], kinds: Iterable[str]) -> Tally:
    """Compare what was found with the labels."""
    wanted_kinds, counts = set(kinds), Counter[str]()
    for line, spans in zip(lines, found, strict=True):
        left = [span for span in spans if span.kind in wanted_kinds]
        for wanted in line.spans:
            if wanted.kind not in wanted_kinds:
                continue
            hits = [span for span in left if _covers(span, wanted)]
            counts["found" if hits else "missed"] += 1
            left = [span for span in left if span not in hits]
        counts["false"] += len(left)
    return Tally(counts["found"], counts["missed"], counts["false"])


def _covers(span: Span, wanted: Span) -> bool:
    shared = min(span.end, wanted.end) - max(span.begin, wanted.begin)
    return span.kind == wanted.kind and 2 * shared >= wanted.end - wanted.begin


def find_peers(lines: Sequence[Line]) -> dict[str, list[list[Span]]]:
    """What the peers find, by their names."""
    with tempfile.TemporaryDirectory() as folder:
        task, result = Path(folder) / "lines.json", Path(folder) / "found.json"
        task.write_text(json.dumps([line.text for line in lines]))
        found = run_peer("pii.py", task, result, result=result)
    return {
        name: [[Span(*span) for span in spans] for spans in each] for name, each in found.items()
    }


def print_tallies(name: str, lines: Sequence[Line], found: Sequence[Sequence[Span]]) -> None:
    """A line a kind."""
    print(name)
    for kind in _ALL:
        each = tally(lines, found, (kind,))
        if each.found or each.false:
            print(
                f"  {kind:6} precision {each.precision:6.1%}  recall {each.recall:6.1%}  "
                f"({each.found} found, {each.missed} missed, {each.false} false)"
            )


def show_faults(lines: Sequence[Line], found: Sequence[Sequence[Span]], num: int) -> None:
    """Lines that we get wrong."""
    wrong = [
        (line, spans)
        for line, spans in zip(lines, found, strict=True)
        if (each := tally([line], [spans], _ALL)).missed or each.false
    ]
    for line, spans in wrong[:num]:
        print(f"  {line.text!r}: wanted {line.spans}, found {spans}")


def main(arguments: Sequence[str] = ()) -> None:
    """Print precision and recall by kind, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", type=int, default=0, help="wrong lines of ours to print")
    options = parser.parse_args(arguments or None)
    lines = make_lines()
    ours = [find_ours(line.text) for line in lines]
    peers = find_peers(lines)
    print_tallies("this project", lines, ours)
    show_faults(lines, ours, options.show)
    scores = {name: tally(lines, found, _SHARED).f1 for name, found in peers.items()}
    best = max((name for name in scores if name.startswith("presidio")), key=lambda n: scores[n])
    for name in (best, "datatrove"):
        print_tallies(name, lines, peers[name])
    f1 = tally(lines, ours, _SHARED).f1
    print(f"F1 over {', '.join(_SHARED)}: ours {f1:.3f}, {best} {scores[best]:.3f}")
    print(f"pii ratio={f1 / scores[best]:.2f}")


if __name__ == "__main__":
    main()
