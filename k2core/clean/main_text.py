"""Which blocks of a page are its text: a logistic regression on how each looks and where it stands.

Fitted to pages whose text is known (`python -m bench.extract --fit`); the weights lie beside this.

Shape suffixes: N blocks, F features.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k2core.clean.blocks import Block

Floats = NDArray[np.float64]
WEIGHTS = Path(__file__).with_name("main_text.json")
_TAGS = ("p", "h", "li", "pre", "div", "td", "figcaption", "blockquote", "ul")
_NEAR = (0, 1, 3, 5, 12, 20)
"""Features that are looked at in the blocks before and after, too."""
_MARKS, _WIDE_MARKS = b".,!?;:", ".,!?;:。、"
_ENDS = ".!?\"”:…'’)。"
_LEAST = 0.45
"""Probability from which a block is kept, or half of the page's highest if that is less."""


class Model(NamedTuple):
    """A logistic regression on standardised features."""

    weights_F: Floats
    bias: float


def choose_blocks(blocks: Sequence[Block]) -> list[Block]:
    """Those that are the page's text."""
    if not blocks:
        return []
    model = load_model()
    probable_N = 1 / (1 + np.exp(-(measure_blocks(blocks) @ model.weights_F + model.bias)))
    chosen_N = probable_N > min(_LEAST, probable_N.max() / 2)
    return [blocks[number] for number in np.flatnonzero(fill_gaps(blocks, chosen_N))]


def fill_gaps(blocks: Sequence[Block], chosen_N: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Code and definitions between chosen blocks are theirs, and so is a heading before one."""
    filled = chosen_N.tolist()
    places = np.flatnonzero(chosen_N).tolist()
    if not places:
        return chosen_N
    for number in range(places[0], places[-1]):
        block = blocks[number]
        if block.tag in _CODE and not block.furniture:
            filled[number] |= 2 * block.link_chars < len(block.text)
    for number in range(places[-1] - 1, -1, -1):
        block = blocks[number]
        if block.tag in _HEADINGS and not block.furniture and block.link_chars == 0:
            filled[number] |= filled[number + 1]
    return np.array(filled, bool)


@functools.cache
def load_model() -> Model:
    """The fitted weights."""
    found = json.loads(WEIGHTS.read_text())
    return Model(np.array(found["weights"]), float(found["bias"]))


def measure_blocks(blocks: Sequence[Block]) -> Floats:
    """What the regression looks at, (N, F)."""
    own_NF = np.stack(_measure_each(blocks), axis=1)
    near_NF = own_NF[:, _NEAR]
    padded = np.vstack([np.zeros((2, len(_NEAR))), near_NF, np.zeros((2, len(_NEAR)))])
    num = len(blocks)
    return np.hstack([own_NF, *(padded[at : at + num] for at in (1, 3, 0, 4))])


def _measure_each(blocks: Sequence[Block]) -> list[Floats]:
    texts = [block.text.strip() for block in blocks]
    chars = np.array([len(text) for text in texts], float)
    links = np.minimum(1, np.array([block.link_chars for block in blocks]) / chars)
    marks = np.array([_count_marks(text) for text in texts], float)
    ended = np.array([text[-1:] in _ENDS for text in texts], float)
    furniture = np.minimum([block.furniture for block in blocks], 3).astype(float)
    prose = np.minimum([block.prose for block in blocks], 4).astype(float)
    main = np.array([block.main for block in blocks], float)
    tags = np.array([_TAG_CODES.get(block.tag, -1) for block in blocks])
    depth = np.array([block.depth for block in blocks], float)
    plain = chars * (1 - links)
    spoken = plain * (marks > 0)
    good = spoken * (tags != _TAG_CODES["li"]) * (furniture == 0) + 0.2 * spoken
    _, parent = np.unique([block.parent for block in blocks], return_inverse=True)
    mass = np.bincount(parent, good)[parent]
    best = mass >= 0.999 * mass.max()
    places, at = np.flatnonzero(best), np.arange(len(blocks))
    before, after = np.maximum(0, places[0] - at), np.maximum(0, at - places[-1])
    deeper = np.clip(depth - depth[best].mean(), -6, 6)
    return [
        *(np.log1p(chars), links, np.log1p(marks), ended, np.minimum(1, 6 * marks / chars)),
        *(furniture == 0, furniture == 1, furniture >= 2, prose == 0, prose >= 2, main),
        *(main - main[best].mean(), np.log1p(mass), mass / max(1.0, good.sum()), best),
        *((before == 0) & (after == 0), np.log1p(before), np.log1p(after), deeper, abs(deeper)),
        np.log1p(np.convolve(spoken, np.ones(5), "full")[2:-2] / 5),
        *(prose - prose[best].mean(), furniture - furniture[best].mean(), at / len(blocks)),
        *(tags == code for code in range(len(_TAGS))),
    ]


def _count_marks(text: str) -> int:
    if text.isascii():
        return len(text) - len(text.encode().translate(None, _MARKS))
    return sum(map(text.count, _WIDE_MARKS))


_HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
_CODE = frozenset({"pre", "dl"})
_TAG_CODES = {tag: code for code, tag in enumerate(_TAGS)}
_TAG_CODES |= dict.fromkeys(_HEADINGS, _TAG_CODES["h"])
