"""Server-sent events, by their own line ends alone (WHATWG HTML, 9.2.6)."""

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import chain

DONE = "[DONE]"
"""The last event of a chat."""

_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")
"""Of a text whose last carriage return may be half an end; U+2028 and its kind end no line."""


def iterate_events(chunks: Iterable[bytes]) -> Iterator[str]:
    """The data of each event as it comes, also of a last one that nothing closes.

    Args:
        chunks: the body in parts of any size.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    held, data = "", list[str]()
    for text in chain(map(decoder.decode, chunks), [decoder.decode(b"", final=True) + "\n\n"]):
        *lines, held = _LINE_END.split(held + text)
        for line in lines:
            field, _, value = line.partition(":")
            if field == "data":
                data.append(value.removeprefix(" "))
            elif not line and data:
                yield "\n".join(data)
                data = []
