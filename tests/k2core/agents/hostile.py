"""What models, tools and endpoints say at their worst, drawn by hypothesis."""

import json

from hypothesis import strategies as st

from k2core.chat import SPECIAL_TOKENS
from k2core.chat import tokens as t

_JUNK = (
    "\ud83d",
    '{"a": "\\ud83d", "b": "\\udc00"}',
    "[" * 3000,
    '{"a":' * 2000,
    "\\boxed{" * 500,
    "1" * 5000,
    "NaN",
    "1e999",
    "null",
    "[1]",
    '"text"',
    "{}",
    "",
    "\x00\x1b[31m",
    "\uff0a\uff17" * 30,
    "." * 500,
    "<<" * 200,
    "\n" * 300,
    '{"error": null}',
    '{"error": {"a": [1]}}',
    '{"result": "\\ud83d"}',
    '{"result": [{}]}',
    "```python\n" * 40,
    "functions.f:" + "9" * 5000,
    "functions.f:\u0660",
    "-" * 200,
    "1,005 or 3/5",
)
JUNK = st.one_of(st.sampled_from(_JUNK), st.text(max_size=40))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | JUNK,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(JUNK, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def calls(draw: st.DrawFn, names: tuple[str, ...]) -> str:
    """A section of calls: of the tools' own names, nearly in K2's form."""
    made = []
    for index in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(names) | JUNK)
        number = draw(st.sampled_from((str(index), "0", "7", "\u0660", "9" * 5000)))
        arguments = draw(JUNK | VALUES.map(lambda value: json.dumps(value, default=str)))
        made.append(
            f"{t.CALL_BEGIN}functions.{name}:{number}{t.CALL_ARGUMENT}{arguments}{t.CALL_END}"
        )
    return t.CALLS_BEGIN + "".join(made) + t.CALLS_END


def turns(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    """What a model writes, special tokens and all."""
    piece = JUNK | calls(names) | st.sampled_from(SPECIAL_TOKENS)
    return st.lists(piece, max_size=4).map("".join)


@st.composite
def bodies(draw: st.DrawFn, names: tuple[str, ...]) -> bytes:
    """What an endpoint answers with status 200: chat completions, nearly, whole or cut."""
    function = st.fixed_dictionaries(
        {}, optional={"name": st.sampled_from(names) | VALUES, "arguments": VALUES}
    )
    call = st.fixed_dictionaries(
        {}, optional={"type": JUNK, "function": function | VALUES, "custom": VALUES}
    )
    message = st.fixed_dictionaries(
        {}, optional={"content": VALUES, "tool_calls": st.lists(call, max_size=3) | VALUES}
    )
    choice = st.fixed_dictionaries(
        {}, optional={"message": message | VALUES, "finish_reason": VALUES}
    )
    usage = st.fixed_dictionaries({}, optional={"completion_tokens": VALUES})
    body = st.fixed_dictionaries(
        {}, optional={"choices": st.lists(choice, max_size=2) | VALUES, "usage": usage | VALUES}
    )
    written = draw(
        body.map(lambda b: json.dumps(b).encode())
        | VALUES.map(lambda v: json.dumps(v).encode())
        | st.binary(max_size=60)
    )
    return written[: draw(st.integers(0, len(written)))] if draw(st.booleans()) else written
