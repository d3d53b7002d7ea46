"""Dialogues with a model whose server reads no calls: tools in the prompt, calls in the text.

The words are BFCL's, of its prompted form: functions and rules in the system prompt, calls as
Python's, their results in a user's message.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    ModelOutput,
    get_model,
)
from inspect_ai.tool import ToolCall, ToolInfo

from k2core.agents.bodies import AgentTurn
from k2core.agents.endpoint import ChatModel
from k2core.evaluate.suites.bfcl_package import ModelCall, load_package
from k2core.evaluate.suites.suite import Bench
from schemas import chat
from schemas.benchmarks import BenchmarkConfig
from schemas.outside import NotJsonError, read_json

_KINDS = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}


class Line(NamedTuple):
    """A message of a dialogue with tools."""

    role: str
    text: str
    calls: Sequence[ModelCall] = ()
    """Of the assistant's."""
    tool: str = ""
    """Whose result it is."""


async def ask(
    messages: Sequence[ChatMessage], tools: Sequence[ToolInfo], *, prompted: bool
) -> ModelOutput:
    """The next message of the harness' model; one that was cut off has no calls."""
    if not prompted:
        return await get_model().generate(list(messages), tools=list(tools))
    kept = {"name", "description", "parameters"}
    declared = [tool.model_dump(include=kept, exclude_none=True) for tool in tools]
    laid = lay_out(map(_line, messages), declared)
    output = await get_model().generate([_KINDS[role](content=text) for role, text in laid])
    calls = () if output.stop_reason == "max_tokens" else read_calls(output.completion)
    if calls:
        output.message.content = ""
        output.message.tool_calls = [
            ToolCall(id=f"{len(messages)}/{n}", function=c.name, arguments=dict(c.arguments))
            for n, c in enumerate(calls)
        ]
    return output


class PromptedModel(ChatModel):
    """A model behind an endpoint, that is told of tools in its prompt."""

    def say(
        self,
        messages: Sequence[chat.Message],
        tools: Sequence[chat.ToolSpec],
        max_tokens: int,
        seed: int,
    ) -> AgentTurn:
        """The next message, as `ChatModel` has it; one that was cut off has no calls."""
        laid = lay_out(map(_spoken, messages), [tool.model_dump() for tool in tools])
        told = [chat.Message.model_validate({"role": r, "content": text}) for r, text in laid]
        turn = super().say(told, (), max_tokens, seed)
        calls = read_calls(turn.message.content) if turn.finished else ()
        if not calls:
            return turn
        made = sum(len(message.tool_calls) for message in messages)
        counted = tuple(
            chat.ToolCall(
                id=f"functions.{call.name}:{made + n}",
                name=call.name,
                arguments=json.dumps(call.arguments),
            )
            for n, call in enumerate(calls)
        )
        return turn._replace(message=chat.Message(role="assistant", tool_calls=counted))


def with_calls(bench: Bench, config: BenchmarkConfig) -> Bench:
    """The bench, its model told of tools as the configuration says."""
    if config.tool_calls == "native":
        return bench
    return bench._replace(model=PromptedModel(bench.model.endpoint))


def lay_out(lines: Iterable[Line], tools: Sequence[dict[str, object]]) -> list[tuple[str, str]]:
    """Roles and texts for a template that knows no tools; users never speak twice in a row."""
    laid: list[tuple[str, str]] = []
    for line in lines:
        role, text = line.role, line.text
        if role == "tool":
            role, text = "user", json.dumps({"name": line.tool, "result": text})
        elif line.calls:
            text = f"[{', '.join(map(_write, line.calls))}]"
        if role == "user" and laid and laid[-1][0] == "user":
            text = f"{laid.pop()[1]}\n{text}"
        laid.append((role, text))
    if not tools:
        return laid
    rows = [{"role": role, "content": text} for role, text in laid]
    told = load_package().prompt(rows, list(tools), "prompted")
    return [(row["role"], row["content"]) for row in told]


def read_calls(text: str) -> Sequence[ModelCall]:
    """The calls that an answer consists of; none of one that is anything else."""
    try:
        found = load_package().decode(text)
        calls = [ModelCall(name, json.loads(json.dumps(a))) for c in found for name, a in c.items()]
    except Exception:  # the package's decoder fails in its own ways on free text
        return ()
    return calls if all(call.name.isidentifier() and call.name.isascii() for call in calls) else ()


def _write(call: ModelCall) -> str:
    return f"{call.name}({', '.join(f'{key}={value!r}' for key, value in call.arguments.items())})"


def _line(message: ChatMessage) -> Line:
    made = (message.tool_calls or ()) if isinstance(message, ChatMessageAssistant) else ()
    tool = (message.function or "") if isinstance(message, ChatMessageTool) else ""
    return Line(
        message.role, message.text, [ModelCall(c.function, c.arguments) for c in made], tool
    )


def _spoken(message: chat.Message) -> Line:
    calls = [ModelCall(call.name, _arguments(call.arguments)) for call in message.tool_calls]
    return Line(message.role, message.content, calls, message.name or "")


def _arguments(written: str) -> Mapping[str, object]:
    try:
        found = read_json(written)
    except NotJsonError:
        return {}
    return found if isinstance(found, dict) else {}
