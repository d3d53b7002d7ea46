"""Answers of one checkpoint: played, judged and kept as rows."""

import json
from collections.abc import Iterable, Mapping, Sequence

from k2core.agents import Dialogue
from k2core.chat.schemas import read_schema
from k2core.rewards import Verdict
from schemas.chat import Problem, ToolCall, ToolSpec
from schemas.outside import NotJsonError, read_json


def answer_rows(
    checkpoint: str, dialogues: Sequence[Dialogue], verdicts: Sequence[Verdict]
) -> list[dict[str, object]]:
    """One `AnswerRow` a dialogue; the samples of a problem are numbered in order."""
    seen: dict[str, int] = {}
    rows: list[dict[str, object]] = []
    for dialogue, verdict in zip(dialogues, verdicts, strict=True):
        problem, passed = dialogue.problem, verdict.reward >= 1.0
        sample = seen.get(problem.problem_id, 0)
        seen[problem.problem_id] = sample + 1
        calls, valid = count_calls(dialogue)
        rows.append(
            {
                "answer_id": f"{checkpoint}/{problem.problem_id}/{sample}",
                "checkpoint": checkpoint,
                "weights": dialogue.weights,
                "problem_id": problem.problem_id,
                "split": problem.problem_id.split("/")[1],
                "family": problem.family,
                "group": problem.group,
                "messages": json.dumps([m.model_dump(mode="json") for m in dialogue.messages]),
                "stop_reason": str(dialogue.stop_reason),
                "num_tokens": dialogue.num_tokens,
                "num_calls": calls,
                "num_valid_calls": valid,
                "passed": passed,
                "faulty": verdict.is_faulty,
                "reason": "" if passed else verdict.reason or "wrong_answer",
            }
        )
    return rows


def count_calls(dialogue: Dialogue) -> tuple[int, int]:
    """Calls made, and those that are valid; a message that broke the template is one invalid call.

    The measure of the Kimi vendor verifier: name declared, arguments JSON of the tool's schema.
    """
    tools = {tool.name: tool for tool in dialogue.problem.tools}
    calls = [call for message in dialogue.messages for call in message.tool_calls]
    broken = int(dialogue.stop_reason == "malformed")
    return len(calls) + broken, sum(is_valid_call(call, tools) for call in calls)


def is_valid_call(call: ToolCall, tools: Mapping[str, ToolSpec]) -> bool:
    """Whether the call names a declared tool with arguments of its schema."""
    tool = tools.get(call.name)
    if tool is None:
        return False
    try:
        arguments = read_json(call.arguments)
    except NotJsonError:
        return False
    schema = read_schema(tool.parameters)
    if schema.fault:
        raise ValueError(f"tool {tool.name}: parameters is no JSON Schema: {schema.fault}")
    return not schema.find_breaches(arguments)


def declared_tools(declared: Iterable[Mapping[str, object]]) -> dict[str, ToolSpec]:
    """Tools by name, of functions as OpenAI's clients declare them."""
    known = ToolSpec.model_fields.keys()
    tools = [ToolSpec.model_validate({k: v for k, v in f.items() if k in known}) for f in declared]
    return {tool.name: tool for tool in tools}


def fits(name: str, arguments: Mapping[str, object], tools: Mapping[str, ToolSpec]) -> bool:
    """`is_valid_call` of a call that was read already; none is valid for what is no schema."""
    try:
        call = ToolCall(id=f"functions.{name}:0", name=name, arguments=json.dumps(arguments))
        return is_valid_call(call, tools)
    except ValueError:
        return False


def samples_of(problems: Sequence[Problem], count: int) -> list[Problem]:
    """Each problem `count` times, side by side."""
    return [problem for problem in problems for _ in range(count)]
