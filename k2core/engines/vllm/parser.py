"""vLLM's server reads and constrains turns as training does: by token ids, with the enforcer.

Importing this needs vLLM. `install` makes two names for `--tool-call-parser`: `k2` holds every turn
to `k2core.chat.turn_grammar`, `k2_free` only reads. Calls are sent when their turn is closed, so
that a stream says what the whole answer says, whatever a model does in between.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol, cast

from pydantic import JsonValue
from vllm.entrypoints.generate.base.protocol import (
    DeltaFunctionCall,
    DeltaMessage,
    DeltaToolCall,
    FunctionCall,
)
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
from vllm.parser import Parser, ParserManager
from vllm.parser.utils import count_history_tool_calls
from vllm.sampling_params import StructuredOutputsParams
from vllm.tool_parsers import ToolParser, ToolParserManager

from k2core.chat import ChatCodec, ToolCallSyntaxError, turn_grammar
from k2core.chat.grammar import json_output
from schemas.chat import ToolCall

ENFORCED, FREE = "k2", "k2_free"


class VllmRequest(Protocol):
    """What is read and changed of vLLM's requests, for chats and for responses."""

    tools: Sequence[object] | None
    tool_choice: object
    parallel_tool_calls: bool | None
    structured_outputs: object
    stop: str | list[str] | None
    include_stop_str_in_output: bool

    def extract_structured_outputs(self) -> StructuredOutputsParams | None:
        """The wanted form of output."""


def install() -> None:
    """Register both parsers, in place of the pair that vLLM would compose of their names."""
    composed = ParserManager._compose_parser

    def compose(tool_parser_name: str | None, **rest: object) -> type[Parser] | None:
        found: type[Parser] | None = _PARSERS.get(tool_parser_name or "")
        return found or composed(tool_parser_name=tool_parser_name, **rest)

    for name in _PARSERS:
        ToolParserManager.register_module(name, module=_Present)
    ParserManager._compose_parser = staticmethod(compose)


class _Declared(Protocol):
    """A function of either interface."""

    name: str
    parameters: dict[str, JsonValue] | None


class _Present(ToolParser):
    """The server asks whether there is one; `K2Parser` does its work."""

    supports_required_and_named = False


class K2Parser(Parser):
    """Reads one turn, whole or as it comes, and constrains the next."""

    tool_parser_cls = _Present
    always_adjust_request = True
    enforces = True

    def __init__(self, tokenizer: object, *args: object, **rest: object) -> None:
        super().__init__(tokenizer, *args, **rest)
        self._codec = _codec(str(getattr(tokenizer, "name_or_path", "")))
        self._turn = _Turn(self._codec)

    def adjust_request(self, request: VllmRequest) -> VllmRequest:
        """Hold the turn to the declared tools, the tool choice and the wanted form of output."""
        wanted = request.extract_structured_outputs()
        output = _as_rule(wanted) if wanted else ""
        if not self.enforces or output is None:
            return request
        choice = request.tool_choice
        tools = _tools(request)
        name = getattr(getattr(choice, "function", choice), "name", None)
        if name is not None:
            tools = {name: tools.get(name, {})}
        grammar = turn_grammar(
            tools,
            count_history_tool_calls(request),
            "required" if name or choice == "required" else "none" if choice == "none" else "auto",
            most_calls=1 if name or request.parallel_tool_calls is False else 8,
            output=output,
        )
        request.structured_outputs = StructuredOutputsParams(grammar=grammar)
        is_response = isinstance(request, ResponsesRequest)
        setattr(request, "text" if is_response else "response_format", None)
        return request

    def is_reasoning_end(self, input_ids: list[int]) -> bool:
        """There is no reasoning apart."""
        return True

    def parse(
        self,
        model_output: str,
        request: VllmRequest,
        enable_auto_tools: bool = False,
        model_output_token_ids: Sequence[int] = (),
    ) -> tuple[str | None, str | None, list[FunctionCall] | None]:
        """Reasoning (none), text and calls of a whole turn."""
        text = self._turn.read(model_output_token_ids, request, finished=True)
        calls = self._calls(request)
        found = [FunctionCall(id=c.id, name=c.name, arguments=c.arguments) for c in calls]
        return None, text or None, found or None

    def parse_delta(
        self,
        delta_text: str,
        delta_token_ids: list[int],
        request: VllmRequest,
        prompt_token_ids: list[int] | None = None,
        *,
        finished: bool,
    ) -> DeltaMessage | None:
        """What a part adds to the text; the last one has the calls."""
        text = self._turn.read(delta_token_ids, request, finished=finished)
        calls = [
            DeltaToolCall(
                id=call.id,
                type="function",
                index=place,
                function=DeltaFunctionCall(name=call.name, arguments=call.arguments),
            )
            for place, call in enumerate(self._calls(request) if finished else ())
        ]
        return DeltaMessage(content=text or None, tool_calls=calls) if text or calls else None

    def _calls(self, request: VllmRequest) -> tuple[ToolCall, ...]:
        if not request.tools or request.tool_choice == "none":
            return ()
        return self._turn.calls(count_history_tool_calls(request))


class FreeK2Parser(K2Parser):
    """Reads alone: a model may write what it likes, and a broken section makes no call."""

    enforces = False


_PARSERS = {ENFORCED: K2Parser, FREE: FreeK2Parser}


class _Turn:
    """A turn's tokens as they come, and the text that may be shown of them."""

    def __init__(self, codec: ChatCodec) -> None:
        self._codec = codec
        self._ids: list[int] = []
        self._undecoded: list[int] = []
        self._text, self._num_shown, self._is_text = "", 0, True

    def read(self, ids: Sequence[int], request: VllmRequest, *, finished: bool) -> str:
        """Take more tokens; returns what can be shown now: no half character or stop string."""
        for number in ids:
            self._ids.append(number)
            self._is_text &= number not in self._codec.special_ids
            if self._is_text:
                self._undecoded.append(number)
        piece = self._codec.decode(self._undecoded)
        if finished or not self._is_text or not piece.endswith("\ufffd"):
            self._text += piece
            self._undecoded = []
        stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
        is_kept = request.include_stop_str_in_output
        ends = [at + len(s) * is_kept for s in stops if (at := self._text.find(s)) >= 0]
        held = 0 if finished else max(map(len, stops), default=1) - 1
        until = min([*ends, max(len(self._text) - held, 0)])
        shown = self._text[self._num_shown : until]
        self._num_shown = max(until, self._num_shown)
        return shown

    def calls(self, next_index: int) -> tuple[ToolCall, ...]:
        """Of the turn that has ended; none where it was cut off or breaks the format.

        A section that is whole does not end a turn: where tokens ran out before the closing one,
        the calls were cut off, as in training and evaluation.
        """
        stops = self._codec.stop_token_ids
        end = next((at for at, number in enumerate(self._ids) if number in stops), None)
        if end is None:
            return ()
        try:
            return self._codec.parse(self._ids[:end], next_index).tool_calls
        except ToolCallSyntaxError:
            return ()


def _tools(request: VllmRequest) -> dict[str, JsonValue]:
    declared = [cast("_Declared", getattr(tool, "function", tool)) for tool in request.tools or ()]
    return {tool.name: tool.parameters or {} for tool in declared if hasattr(tool, "parameters")}


def _as_rule(wanted: StructuredOutputsParams) -> str | None:
    """The wanted form as the right side of a rule; None where the engine must hold it."""
    if wanted.json_object:
        return json_output({"type": "object"})
    if wanted.json is not None:
        schema = wanted.json
        return json_output(json.loads(schema) if isinstance(schema, str) else schema)
    if wanted.regex is not None:
        return "/" + str(wanted.regex).replace("/", "\\/") + "/"
    if wanted.choice is not None:
        return " | ".join(json.dumps(choice, ensure_ascii=False) for choice in wanted.choice)
    return None


@lru_cache(1)
def _codec(folder: str) -> ChatCodec:
    return ChatCodec(Path(folder))
