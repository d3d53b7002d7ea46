"""Whether a program printed what it should have.

White space at either end and of any width between words is ignored. A number that is expected with
decimals may differ by a millionth of it, or by the rounding of its last decimal where that is no
more: what prints `0.3333333333333333` is right where `0.333333` is expected.
"""

import re

_DECIMAL = re.compile(r"[-+]?\d{0,40}\.(\d{1,40})(?:[eE][-+]?\d{1,3})?")
_PLAIN = re.compile(r"[-+]?(?:\d{1,40}\.?\d{0,40}|\.\d{1,40})(?:[eE][-+]?\d{1,3})?")
_NEAR = 1e-6


def same_output(said: str, wanted: str) -> bool:
    """Whether the words are the same, one by one."""
    words, expected = said.split(), wanted.split()
    return len(words) == len(expected) and all(map(_is_same, words, expected))


def _is_same(said: str, wanted: str) -> bool:
    if said == wanted:
        return True
    decimal = _DECIMAL.fullmatch(wanted)
    if decimal is None or not _PLAIN.fullmatch(said):
        return False
    value = float(wanted)
    rounding = min(_NEAR, 0.5 * 10.0 ** -len(decimal[1]))
    return abs(float(said) - value) <= max(_NEAR * abs(value), rounding)
