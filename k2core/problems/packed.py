"""Tests as LiveCodeBench packs those that it keeps private: JSON, pickled, deflated, in base 64.

The pickle is looked through for its text, and never loaded.
"""

import base64
import binascii
import pickletools
import zlib

from pydantic import JsonValue

from k2core.problems.declared import from_json
from k2core.problems.faults import RowError

_DEFLATED = ("eJ", "eN", "eA", "eF")
"""How base 64 of a zlib header begins, by level."""
_MOST_BYTES = 2**28
_AROUND = frozenset(("PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"))
"""What stands around a text in a pickle."""


def _read_text(pickled: bytes) -> str:
    """The one text of a pickle, of which nothing is executed, not even to fill its memo."""
    texts: list[str] = []
    for code, value, _ in pickletools.genops(pickled):
        if "UNICODE" in code.name:
            texts.append(str(value))
        elif code.name not in _AROUND:
            raise ValueError(f"it has {code.name}")
    if len(texts) != 1:
        raise ValueError(f"it has {len(texts)} texts")
    return texts[0]


def unpacked(given: JsonValue) -> JsonValue:
    """A list or an object, also where it stands in a text, packed or not; anything else as it is.

    Raises:
        RowError: it is packed, and holds no text, or more than 256 MB.
    """
    if not isinstance(given, str) or not given.startswith(_DEFLATED):
        return from_json(given)
    try:
        stream = zlib.decompressobj()
        content = stream.decompress(base64.b64decode(given, validate=True), _MOST_BYTES)
    except (binascii.Error, zlib.error):
        return given
    if stream.unconsumed_tail:
        raise RowError("cases", f"are packed, and more than {_MOST_BYTES:,} bytes")
    try:
        return from_json(_read_text(content))
    except ValueError as error:
        raise RowError("cases", f"are packed, and hold no text: {error}") from None
