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
