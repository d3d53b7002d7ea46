"""Dialogues for other trainers, and faults of other people's."""

import json
from typing import Any

import pytest

from k2core.chat.exchange import to_line, validate_line, validate_lines
from schemas.chat import Message, ToolCall, ToolSpec

ADD = ToolSpec(
    name="add",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    },
)


def dialogue(identity: str = "functions.add:0", arguments: str = '{"a":1}', **answer: str) -> Any:
    call = ToolCall(id="functions.add:0", name="add", arguments=arguments)
    said = [
        Message(role="user", content="1?"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content='{"result":1}', tool_call_id=call.id, name="add"),
        Message(role="assistant", content="1"),
    ]
    line = to_line(said, (ADD,))
    line["messages"][1]["tool_calls"][0]["id"] = identity
    line["messages"][2] |= {"tool_call_id": identity} | answer
    return line


def faults(line: Any) -> list[str]:
    return list(validate_line(json.dumps(line)))


def test_a_right_dialogue_has_no_fault() -> None:
    assert faults(dialogue()) == []
    assert list(validate_lines(["", json.dumps(dialogue()), "{"])) == [
        (3, "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)")
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (dialogue("call_7"), "messages[1]: call id 'call_7' should be 'functions.add:0'"),
        (dialogue("functions.add:1"), "should be 'functions.add:0'"),
        (dialogue(arguments='{"a":"x"}'), "arguments/a: 'x' is not of type 'integer'"),
        (dialogue(arguments='{"a":1,"b":2}'), "Additional properties"),
        (dialogue(arguments="{"), "arguments are not JSON"),
        (dialogue(name="sub"), "messages[2]: is from sub, not add"),
        (dialogue(tool_call_id="functions.add:9"), "not called or is answered already"),
        (dialogue() | {"tools": []}, "the tool is not declared"),
        (
            dialogue() | {"messages": dialogue()["messages"][:2]},
            "end: functions.add:0 not answered",
        ),
        ({"messages": [{"role": "bot"}]}, "messages[0]: role is not one of"),
        ({"messages": [{"role": "user", "content": "<|im_end|>"}]}, "special token <|im_end|>"),
        ({"messages": []}, 'no "messages"'),
        (dialogue() | {"tools": [{"function": {"name": "add", "parameters": {"type": 3}}}]}, "add"),
    ],
)
def test_each_fault_is_named(line: Any, fault: str) -> None:
    assert any(fault in found for found in faults(line)), faults(line)


def test_a_failed_call_that_was_answered_as_one_is_a_lesson() -> None:
    assert faults(dialogue(arguments='{"b":1}', content='{"error":"unknown argument b"}')) == []


BAD_SCHEMAS: list[tuple[object, object, str]] = [
    ({"$ref": "http://127.0.0.1:9/latest/meta-data"}, {}, "leads out of the schema"),
    ({"$ref": "file:///etc/passwd"}, {}, "leads out of the schema"),
    ({"properties": {"a": {"$ref": "other.json"}}}, {}, "leads out of the schema"),
    ({"$ref": "#"}, {}, "refers to itself"),
    ({"not": {"$ref": "#"}}, {}, "refers to itself"),
    ({"properties": {"a": {"$ref": "#/properties/a"}}}, {"a": 1}, "refers to itself"),
    ({"properties": {"a": {"pattern": "^(a|aa)+$"}}}, {"a": "a" * 60 + "!"}, "a"),
    ({"propertyNames": {"pattern": "(x+x+)+y"}}, {"x" * 60: 1}, "x"),
    ({"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}, {"a" * 60: 1}, ""),
    ({"properties": {"a": {"pattern": "("}}}, {}, "cannot be checked"),
    ({"pattern": "((a{1000}){1000}){1000}"}, {}, "too large"),
    ({"type": "nonsense"}, {}, "nonsense"),
    ("text", {}, "no JSON Schema"),
    ([1], {}, "no JSON Schema"),
    ({"$schema": ["x"]}, {}, "cannot be checked"),
    ({"required": "a"}, {}, "no JSON Schema"),
    ({"properties": {"a": {"multipleOf": 0.5}}}, {"a": 10**400}, "cannot be checked"),
    (json.loads('{"items":' * 150 + "{}" + "}" * 150), {}, "nested"),
    (
        {"$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}}
        | {"$ref": "#/$defs/d0"},
        {},
        "",
    ),
]


@pytest.mark.parametrize(
    ("schema", "arguments", "fault"), BAD_SCHEMAS, ids=[str(s)[:40] for s, _, _ in BAD_SCHEMAS]
)
def test_a_hostile_schema_is_a_finding(
    schema: object, arguments: object, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a schema was fetched")

    monkeypatch.setattr("socket.socket.connect", refuse)
    function = {"name": "f", "parameters": schema}
    called = {"id": "functions.f:0", "function": {"name": "f", "arguments": json.dumps(arguments)}}
    row = {
        "messages": [
            {"role": "assistant", "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "functions.f:0", "content": "1"},
        ],
        "tools": [{"type": "function", "function": function}],
    }
    faults = list(validate_line(json.dumps(row)))
    assert fault in " ".join(faults)
    assert faults or "patternProperties" in str(schema)


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"messages": 1}',
        '{"messages": [1]}',
        '{"messages": [{"role": "assistant", "tool_calls": 7}]}',
        '{"messages": [{"role": "assistant", "tool_calls": [7]}]}',
        '{"messages": [{"role": "user", "content": {"a": 1}}]}',
        '{"messages": [{"role": ["user"]}]}',
        '{"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": ["f"]}}]}]}',
        '{"messages": [{"role": "assistant", "tool_calls": [{"id": "functions.f:0", "function": '
        '{"name": "f", "arguments": ' + '"[[[["' + "}}]}]}",
    ],
)
def test_a_line_of_anything_is_a_finding(line: str) -> None:
    assert list(validate_line(line))
