"""Events of a stream, in every spelling that the standard allows and in parts of any size."""

import pytest

from k2core.serving.events import iterate_events

HARD = '{"a":"x\u2028\u2029\x85\x0b\x0c\x1c ü"}'
"""Characters at which Python splits lines, and a stream does not."""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("body", "events"),
    [
        (f"data: {HARD}\n\ndata: [DONE]\n\n", [HARD, "[DONE]"]),
        (f"data: {HARD}\r\n\r\ndata: [DONE]\r\n\r\n", [HARD, "[DONE]"]),
        (f"data: {HARD}\r\rdata: [DONE]\r\r", [HARD, "[DONE]"]),
        (f"data:{HARD}\n\ndata:[DONE]", [HARD, "[DONE]"]),
        (": waiting\n\nevent: x\nid: 1\ndata: a\nretry: 9\n\n: bye\n", ["a"]),
        ("data: a\ndata: b\n\ndata:  c\n\n", ["a\nb", " c"]),
        ("data: \n\n\n\n", [""]),
        ("<html>\n\n</html>", []),
        ("", []),
    ],
)
def test_every_spelling_in_any_parts(body: str, events: list[str], size: int) -> None:
    raw = body.encode()
    parts = [raw[at : at + size] for at in range(0, len(raw), size)]
    assert list(iterate_events(parts)) == events


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert list(iterate_events([b"data: \xff\xc3", b"\n\n"])) == ["\ufffd\ufffd"]
