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
_NUM_MEASURES = 24
"""Features before those that name the tag."""
_GROWING = (0, 2, 12, 16, 17, 20)
"""Features that are the logarithm of one more."""
_EVERY_TAG, _FIVE = np.arange(len(_TAGS))[:, None], np.ones(5)
_MARKS, _WIDE_MARKS = b".,!?;:", "。、"
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
    num = len(blocks)
    own_FN = _measure_each(blocks)
    near_FN = np.zeros((len(_NEAR), num + 4))
    near_FN[:, 2:-2] = own_FN[_NEAR,]
    shifted = (near_FN[:, at : at + num] for at in (1, 3, 0, 4))
    measured_FN: Floats = np.concatenate([own_FN, *shifted])
    return measured_FN.T


def _measure_each(blocks: Sequence[Block]) -> Floats:
    """What is measured of each block, (F, N): at once, for numpy's calls cost more than a page."""
    num, numbers = len(blocks), dict[int, int]()
    whole, names, *counts, parents = zip(*blocks, strict=True)
    texts = list(map(str.strip, whole))
    measured = (map(len, texts), map(_count_marks, texts), (text[-1:] in _ENDS for text in texts))
    of_text_3N = np.array([list(each) for each in measured], float)
    (chars, marks, ended), (links, furniture, prose, main, depth) = of_text_3N, np.array(counts)
    furniture, prose = np.minimum(furniture, 3), np.minimum(prose, 4)
    links = np.minimum(1, links / chars)
    tags = np.array([_TAG_CODES.get(name, -1) for name in names])
    parent = np.array([numbers.setdefault(each, len(numbers)) for each in parents])
    spoken = chars * (1 - links) * (marks > 0)
    plain = furniture == 0
    good = spoken * (tags != _TAG_CODES["li"]) * plain + 0.2 * spoken
    mass = np.bincount(parent, good)[parent]
    best = mass >= 0.999 * mass.max()
    places, at = np.flatnonzero(best), np.arange(num)
    before, after = np.maximum(0, places[0] - at), np.maximum(0, at - places[-1])
    deeper = np.minimum(np.maximum(depth - _mean(depth[best]), -6), 6)
    found_FN = np.empty((_NUM_MEASURES + len(_TAGS), num))
    for row, measured_N in enumerate(
        (
            *(chars, links, marks, ended, np.minimum(1, 6 * marks / chars)),
            *(plain, furniture == 1, furniture >= 2, prose == 0, prose >= 2, main),
            *(main - _mean(main[best]), mass, mass / max(1.0, good.sum()), best),
            *((before == 0) & (after == 0), before, after, deeper, abs(deeper)),
            np.convolve(spoken, _FIVE, "full")[2:-2] / 5,
            *(prose - _mean(prose[best]), furniture - _mean(furniture[best]), at / num),
        )
    ):
        found_FN[row] = measured_N
    found_FN[_GROWING,] = np.log1p(found_FN[_GROWING,])
    found_FN[_NUM_MEASURES:] = tags == _EVERY_TAG
    return found_FN


def _mean(values: Floats) -> float:
    """`values.mean()`, in a quarter of the time where they are few."""
    return float(np.add.reduce(values) / len(values))


def _count_marks(text: str) -> int:
    data = text.encode()
    num = len(data) - len(data.translate(None, _MARKS))
    return num if len(data) == len(text) else num + sum(map(text.count, _WIDE_MARKS))


_HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
_CODE = frozenset({"pre", "dl"})
_TAG_CODES = {tag: code for code, tag in enumerate(_TAGS)}
_TAG_CODES |= dict.fromkeys(_HEADINGS, _TAG_CODES["h"])
