"""What OpenAI's clients send, through the released template; files that old readers know."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import cast

import pytest
from jinja2 import TemplateError
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from k2core.chat import CHAT_TEMPLATE, SPECIAL_TOKENS, render
from k2core.chat.hub import state_max_length, write_chat_files
from schemas.chat import Message, ToolCall, ToolSpec

Sent = dict[str, object]
Spelling = Callable[[Sent], Sent]

CALLS = (
    ToolCall(id="functions.add:0", name="add", arguments='{"a":1}'),
    ToolCall(id="functions.find:1", name="find", arguments="{}"),
    ToolCall(id="functions.add:2", name="add", arguments='{"a":"ü"}'),
)
RESULTS = tuple(
    Message(role="tool", content=f"{n}", tool_call_id=c.id, name=c.name)
    for n, c in enumerate(CALLS)
)
EXPECTED = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="Two things."),
    Message(role="assistant", content="Well.", tool_calls=CALLS[:2]),
    *RESULTS[:2],
    Message(role="assistant", content="", tool_calls=CALLS[2:]),
    RESULTS[2],
    Message(role="assistant", content="Done."),
    Message(role="user", content="Again."),
)
ADD = ToolSpec(name="add", parameters={"type": "object"})


def fill(messages: list[Sent], tools: list[Sent] | None = None) -> str:
    jinja = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE()), chat_template=CHAT_TEMPLATE
    )
    return cast(
        "str",
        jinja.apply_chat_template(
            cast("list[dict[str, str]]", messages),
            tools=[*tools] if tools else None,
            tokenize=False,
            add_generation_prompt=True,
        ),
    )


def send(message: Message) -> Sent:
    sent: Sent = {"role": message.role, "content": message.content}
    if message.tool_calls:
        sent["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in message.tool_calls
        ]
    if message.role == "tool":
        sent |= {"tool_call_id": message.tool_call_id, "name": message.name}
    return sent


def calls_of(sent: Sent) -> list[Sent]:
    return cast("list[Sent]", sent.get("tool_calls", []))


def without_name(sent: Sent) -> Sent:
    return {key: value for key, value in sent.items() if key != "name"}


def with_ids(spell: Callable[[str], object]) -> Spelling:
    """Every call's id in another form; `...` leaves it out."""

    def put(value: Sent, key: str) -> Sent:
        new = spell(str(value[key]))
        return {k: new if k == key else v for k, v in value.items() if k != key or new is not ...}

    def change(sent: Sent) -> Sent:
        if "tool_call_id" in sent:
            return put(sent, "tool_call_id")
        return {**sent, "tool_calls": [put(call, "id") for call in calls_of(sent)]}

    return change


def with_content(spell: Callable[[str], object]) -> Spelling:
    return lambda sent: {**sent, "content": spell(str(sent["content"]))}


def with_functions(change: Callable[[Sent], object]) -> Spelling:
    """Every call written otherwise."""

    def spell(sent: Sent) -> Sent:
        return (
            {**sent, "tool_calls": [change(c) for c in calls_of(sent)]} if calls_of(sent) else sent
        )

    return spell


def with_arguments(change: Callable[[str], object]) -> Spelling:
    def spell(call: Sent) -> Sent:
        function = cast("Sent", call["function"])
        new = change(str(function["arguments"]))
        kept = {k: v for k, v in function.items() if k != "arguments" or new is not ...}
        return {**call, "function": kept if new is ... else {**kept, "arguments": new}}

    return with_functions(spell)


def halves(text: str, part: Callable[[str], object]) -> list[object]:
    return [part(text[:2]), part(text[2:])]


def typed(kind: str) -> Callable[[str], object]:
    return lambda text: halves(text, lambda half: {"type": kind, "text": half})


SPELLINGS: dict[str, Spelling] = {
    "as K2": lambda sent: sent,
    "another provider's ids": with_ids(lambda i: f"call_{i}"),
    "a cut history's ids": with_ids(lambda i: i.replace(":", ":1")),
    "ids as numbers": with_ids(lambda i: int(i[-1]) + 7),
    "one number as text": with_ids(lambda i: 7),
    "one id for all": with_ids(lambda i: "x"),
    "null ids": with_ids(lambda i: None),
    "absent ids": with_ids(lambda i: ...),
    "content as parts": with_content(typed("text")),
    "parts of the newer interface": with_content(typed("input_text")),
    "parts that are plain strings": with_content(lambda text: halves(text, str)),
    "one part as an object": with_content(lambda text: {"type": "text", "text": text}),
    "null content": lambda sent: {**sent, "content": sent["content"] or None},
    "absent content": lambda sent: {k: v for k, v in sent.items() if v != ""},
    "content as a number": lambda sent: (
        {**sent, "content": int(str(sent["content"]))} if sent["role"] == "tool" else sent
    ),
    "arguments as objects": with_arguments(json.loads),
    "empty arguments as text": with_arguments(lambda text: "" if text == "{}" else text),
    "null arguments": with_arguments(lambda text: None if text == "{}" else text),
    "absent arguments": with_arguments(lambda text: ... if text == "{}" else text),
    "calls without a function": with_functions(lambda call: call["function"]),
    "null calls": lambda sent: {**sent, "tool_calls": sent.get("tool_calls")},
    "the old role of results": lambda sent: {
        **sent,
        "role": "function" if sent["role"] == "tool" else sent["role"],
    },
    "the new role of prompts": lambda sent: {
        **sent,
        "role": "developer" if sent["role"] == "system" else sent["role"],
    },
}


@pytest.mark.parametrize(("spelling", "named"), product(SPELLINGS, (True, False)))
def test_every_form_of_a_dialogue_is_the_trained_text(spelling: str, named: bool) -> None:
    sent = [send(message) if named else without_name(send(message)) for message in EXPECTED]
    assert fill([SPELLINGS[spelling](message) for message in sent]) == render(
        EXPECTED, add_generation_prompt=True
    )


def test_answers_may_come_in_another_order() -> None:
    said = [*EXPECTED[1:3], RESULTS[1], RESULTS[0]]
    expected = render(said, add_generation_prompt=True)
    by_id = [without_name(send(message)) for message in said]
    by_name = [with_ids(lambda _: ...)(send(message)) for message in said]
    assert fill(by_id) == fill(by_name) == expected


def test_an_answer_to_what_nobody_called_keeps_its_own_words() -> None:
    text = fill([{"role": "tool", "tool_call_id": "call_7", "name": "add", "content": "3"}])
    assert text.startswith("<|im_system|>add<|im_middle|>## Return of call_7\n3<|im_end|>")
    text = fill([{"role": "tool", "content": {"sum": 3}}])
    assert text.startswith('<|im_system|>tool<|im_middle|>## Return of tool\n{"sum":3}<|im_end|>')


@pytest.mark.parametrize(
    "result", [{"sum": 3}, {"text": "a", "n": 1}, [1, {"a": None}], [{"id": 1}, {"id": 2}], False]
)
def test_a_result_that_is_no_text_is_its_json(result: object) -> None:
    text = fill([{"role": "tool", "tool_call_id": "x", "content": result}])
    assert f"x\n{json.dumps(result, separators=(',', ':'))}<|im_end|>" in text


@pytest.mark.parametrize(
    "part",
    [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "input_audio", "input_audio": {}}],
)
def test_what_is_no_text_is_refused_by_its_kind(part: Sent) -> None:
    with pytest.raises(TemplateError, match=f"content of type {part['type']}"):
        fill([{"role": "user", "content": [{"type": "text", "text": "See:"}, part]}])


@pytest.mark.parametrize(
    "tool",
    [
        ADD.declaration(),
        {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}},
        {"function": {"parameters": {"type": "object"}, "strict": True, "name": "add"}},
        {"type": "function", "name": "add", "description": None, "parameters": {"type": "object"}},
    ],
)
def test_every_form_of_a_tool_is_the_trained_text(tool: Sent) -> None:
    said = [Message(role="user", content="1?")]
    assert fill([send(said[0])], [tool]) == render(said, [ADD], add_generation_prompt=True)


def test_the_files_name_only_what_old_and_new_readers_know(tmp_path: Path) -> None:
    write_chat_files(tmp_path)
    state_max_length(tmp_path, 1024)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["model_max_length"] == 1024
    assert config["chat_template"] == (tmp_path / "chat_template.jinja").read_text()
    special = {config["bos_token"], config["eos_token"], config["pad_token"]}
    assert special | set(config["additional_special_tokens"]) == set(SPECIAL_TOKENS)
    assert "extra_special_tokens" not in config
