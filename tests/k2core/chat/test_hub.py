"""What OpenAI's clients send, through the released template; files that old readers know."""

import json
from pathlib import Path
from typing import cast

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from k2core.chat import CHAT_TEMPLATE, SPECIAL_TOKENS, render
from k2core.chat.hub import state_max_length, write_chat_files
from schemas.chat import Message, ToolCall

Sent = dict[str, object]
CALLS = (
    ToolCall(id="functions.add:0", name="add", arguments='{"a":1}'),
    ToolCall(id="functions.find:1", name="find", arguments="{}"),
)
EXPECTED = (
    Message(role="user", content="Two things."),
    Message(role="assistant", content="", tool_calls=CALLS),
    Message(role="tool", content="3", tool_call_id=CALLS[0].id, name="add"),
    Message(role="tool", content="none", tool_call_id=CALLS[1].id, name="find"),
    Message(role="assistant", content="Done."),
    Message(role="user", content="Again."),
)


def render_sent(messages: list[Sent]) -> str:
    jinja = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE()), chat_template=CHAT_TEMPLATE
    )
    return cast(
        "str",
        jinja.apply_chat_template(
            cast("list[dict[str, str]]", messages), tokenize=False, add_generation_prompt=True
        ),
    )


def sent(
    ids: tuple[str, str] = (CALLS[0].id, CALLS[1].id), *, named: bool = True, parts: bool = False
) -> list[Sent]:
    """The dialogue as a client sends it."""

    def content(text: str) -> object:
        return (
            [{"type": "text", "text": text[:2]}, {"type": "text", "text": text[2:]}]
            if parts
            else text
        )

    name = {"add": {"name": "add"}, "find": {"name": "find"}} if named else {"add": {}, "find": {}}
    functions = [{"name": "add", "arguments": '{"a":1}'}, {"name": "find", "arguments": ""}]
    return [
        {"role": "user", "content": content("Two things.")},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": id_, "type": "function", "function": function}
                for id_, function in zip(ids, functions, strict=True)
            ],
        },
        {"role": "tool", "tool_call_id": ids[0], "content": content("3"), **name["add"]},
        {"role": "tool", "tool_call_id": ids[1], "content": content("none"), **name["find"]},
        {"role": "assistant", "content": content("Done.")},
        {"role": "user", "content": content("Again.")},
    ]


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(sent(), id="as K2"),
        pytest.param(sent(named=False), id="tool messages without a name"),
        pytest.param(sent(parts=True), id="content as parts"),
        pytest.param(sent(("call_abc", "call_def")), id="another provider's ids"),
        pytest.param(
            sent(("functions.add:7", "functions.find:8"), named=False), id="a cut history"
        ),
        pytest.param(sent(("a", "b"), named=False, parts=True), id="all at once"),
    ],
)
def test_every_form_of_a_dialogue_is_the_trained_text(messages: list[Sent]) -> None:
    assert render_sent(messages) == render(EXPECTED, add_generation_prompt=True)


def test_arguments_as_an_object_are_written_compactly() -> None:
    call = {"id": "x", "function": {"name": "add", "arguments": {"a": 1, "b": "ü"}}}
    text = render_sent([{"role": "assistant", "content": "", "tool_calls": [call]}])
    assert 'functions.add:0<|tool_call_argument_begin|>{"a":1,"b":"ü"}<|tool_call_end|>' in text


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
