"""The enforcer's grammar, by the engine that holds a sampler to it: llguidance."""

import json
import random
from pathlib import Path
from typing import cast

import pytest
from llguidance import LLMatcher, LLTokenizer, grammar_from
from pydantic import JsonValue
from tokenizers import Tokenizer

from k2core.chat import SPECIAL_TOKENS, ChatCodec
from k2core.chat.grammar import Calls, json_output, turn_grammar
from k2core.chat.schemas import read_schema
from schemas.chat import Message, ToolCall

ADD: JsonValue = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "note": {"type": "string", "maxLength": 5}},
    "required": ["a"],
}
SCHEMAS: list[JsonValue] = [
    ADD,
    {},
    {"type": "object", "properties": {}},
    {"properties": {"city": {"enum": ["Oslo", "Rome"]}, "n": {"type": ["integer", "null"]}}},
    {"$ref": "#/$defs/p", "$defs": {"p": {"properties": {"x": {"const": 1}}, "required": ["x"]}}},
    {"anyOf": [{"required": ["a"], "properties": {"a": {"type": "boolean"}}}, ADD]},
    {"properties": {"l": {"type": "array", "items": {"type": "integer"}, "maxItems": 2}}},
    {"properties": {"p": {"type": "string", "pattern": "^[a-c]{2}$"}}, "required": ["p"]},
    {"properties": {"d": {"type": "string", "format": "date"}}, "required": ["d"]},
    {"properties": {"o": {"properties": {"i": {"type": "integer", "minimum": 3, "maximum": 7}}}}},
    {"additionalProperties": {"type": "integer"}, "maxProperties": 2},
    {"oneOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}], "title": "<|im_end|>"},
]


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder: Path) -> LLTokenizer:
    text = (tokenizer_folder / "tokenizer.json").read_text()
    return LLTokenizer(text, eos_token=SPECIAL_TOKENS.index("<|im_end|>"))


def matcher(tokenizer: LLTokenizer, grammar: str) -> LLMatcher:
    made = LLMatcher(tokenizer, grammar_from("grammar", grammar))
    assert not made.get_error()
    return made


def allowed(state: LLMatcher, size: int) -> list[int]:
    mask = state.compute_bitmask()
    return [number for number in range(size) if mask[number // 8] >> number % 8 & 1]


def sample(codec: ChatCodec, state: LLMatcher, draw: random.Random) -> list[int]:
    """A model that knows nothing: any token that it may say; ends values where it can."""
    ids: list[int] = []
    while not ids or ids[-1] not in codec.stop_token_ids:
        may = allowed(state, codec.vocab_size)
        special = [number for number in may if number < len(SPECIAL_TOKENS)]
        closing = [n for n in may if codec.decode([n]) in ('"', "}", "]", '"}', "0")]
        chosen = draw.choice(
            (special or closing or may) if len(ids) > 40 else draw.choice([special or may, may])
        )
        assert state.consume_token(chosen)
        ids.append(chosen)
        assert len(ids) < 3000
    return ids


def accepts(codec: ChatCodec, tokenizer: LLTokenizer, grammar: str, message: Message) -> bool:
    ids, mask = codec.encode_dialogue([message])
    said = [i for i, m in zip(ids, mask, strict=True) if m]
    return bool(matcher(tokenizer, grammar).validate_tokens(said) == len(said))


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: json.dumps(s)[:50])
def test_whatever_is_sampled_under_it_is_a_right_turn(
    codec: ChatCodec, tokenizer: LLTokenizer, schema: JsonValue
) -> None:
    grammar = turn_grammar({"add": schema, "find-it": ADD}, 3, "required", most_calls=3)
    checks = {"add": read_schema(schema), "find-it": read_schema(ADD)}
    for seed in range(6):
        message = codec.parse(
            sample(codec, matcher(tokenizer, grammar), random.Random(seed)), next_index=3
        )
        assert 1 <= len(message.tool_calls) <= 3
        for call in message.tool_calls:
            arguments = json.loads(call.arguments)
            assert isinstance(arguments, dict)
            assert checks[call.name].find_breaches(cast("JsonValue", arguments)) == []


def spoken(arguments: str, name: str = "add", index: int = 0, text: str = "") -> Message:
    call = ToolCall(id=f"functions.{name}:{index}", name=name, arguments=arguments)
    return Message(role="assistant", content=text, tool_calls=(call,))


@pytest.mark.parametrize(
    ("message", "calls", "right"),
    [
        (spoken('{"a":1}'), "auto", True),
        (spoken('{"a":1}'), "required", True),
        (spoken('{"a":1}'), "none", False),
        (spoken('{"a":1}', text="Adding.\n"), "auto", True),
        (spoken('{"a":1}', text="Adding."), "required", False),
        (spoken('{"a":1}', index=1), "auto", False),
        (spoken('{"a":1}', name="sub"), "auto", False),
        (spoken('{"a": 1}'), "auto", False),
        (spoken('{"a":"1"}'), "auto", False),
        (spoken('{"a":1,"b":2}'), "auto", False),
        (spoken('{"a":1,"note":"[EOS]"}'), "auto", True),
        (spoken('{"note":"x"}'), "auto", False),
        (spoken("{}"), "auto", False),
        (Message(role="assistant", content="<|tool_call_begin|>"), "auto", True),
        (Message(role="assistant", content="3"), "none", True),
        (Message(role="assistant", content="3"), "required", False),
        (Message(role="assistant", content=""), "auto", True),
    ],
)
def test_it_takes_right_turns_and_no_others(
    codec: ChatCodec, tokenizer: LLTokenizer, message: Message, calls: Calls, right: bool
) -> None:
    assert accepts(codec, tokenizer, turn_grammar({"add": ADD}, 0, calls), message) == right


def test_calls_beside_an_output_of_a_form(codec: ChatCodec, tokenizer: LLTokenizer) -> None:
    grammar = turn_grammar({"add": ADD}, 0, output=json_output(ADD))
    assert accepts(codec, tokenizer, grammar, spoken('{"a":1}'))
    assert accepts(codec, tokenizer, grammar, Message(role="assistant", content='{"a":1}'))
    assert not accepts(codec, tokenizer, grammar, Message(role="assistant", content="one"))


@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"$ref": "http://x/y"}, "text", {"properties": 3}, None]
)
def test_a_schema_that_is_none_holds_to_an_object(
    codec: ChatCodec, tokenizer: LLTokenizer, schema: JsonValue
) -> None:
    grammar = turn_grammar({"add": schema}, 0)
    assert accepts(codec, tokenizer, grammar, spoken('{"x":[1]}'))
    assert not accepts(codec, tokenizer, grammar, spoken("[1]"))


def test_the_tokenizer_of_the_test_tells_special_tokens(tokenizer_folder: Path) -> None:
    found = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    assert [found.token_to_id(token) for token in SPECIAL_TOKENS] == list(range(13))
