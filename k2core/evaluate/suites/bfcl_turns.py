"""BFCL v4, several turns: simulated services whose records and answers count at the end.

Items, services, prompts and checker are the benchmark's own (gorilla.cs.berkeley.edu/leaderboard).
"""

import copy
import json
from collections.abc import Sequence
from importlib.metadata import version

import anyio.to_thread
from bfcl_eval.constants.default_prompts import (
    DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC,
    MAXIMUM_STEP_LIMIT,
)
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageTool, ChatMessageUser
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolCall, ToolInfo

from k2core.evaluate.answers import declared_tools, fits
from k2core.evaluate.suites.bfcl_package import ModelCall, Row, load_package
from k2core.evaluate.suites.bfcl_services import (
    check_turns,
    make_calls,
    named_play,
    read_items,
    write_call,
)
from k2core.evaluate.suites.prompted import ask
from k2core.evaluate.suites.suite import CATEGORY, Bench, Suite, make_suite, take
from k2core.sandbox import Verdict
from schemas.benchmarks import BenchmarkConfig

CATEGORIES = ("base", "miss_func", "miss_param", "long_context")
"""200 each: plain, with a function or a parameter that comes late, and with long results."""


def build(config: BenchmarkConfig, bench: Bench) -> Suite:
    """All items, or the first of each category."""
    samples = [
        Sample(
            id=row["id"],
            input=row["question"][0][0]["content"],
            # As text: the services change what they are given.
            metadata={CATEGORY: name, "row": json.dumps(row)},
        )
        for name in CATEGORIES
        for row in read_items(name)
    ]
    source = f"bfcl-eval {version('bfcl-eval')}"
    return make_suite(
        "bfcl_turns",
        take(samples, config.limit),
        source,
        judge,
        play(config.tool_calls == "prompted"),
    )


@solver
def play(prompted: bool) -> Solver:
    """The item's turns; each ends with an answer that calls nothing, or with one call too many."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        row: Row = json.loads(state.metadata["row"])
        turns: list[list[list[str]]] = []
        state.messages = []
        state.metadata |= {"calls": 0, "valid_calls": 0, "tokens": 0, "turns": turns}
        with named_play() as name:
            for number, said in enumerate(row["question"]):
                row["function"] += row["missed_function"].get(str(number), [])
                told = said or [{"content": DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC}]
                state.messages += [ChatMessageUser(content=m["content"]) for m in told]
                turns.append(await _take_turn(state, row, name, prompted))
                if _is_forced(turns[-1]):
                    break
        state.metadata["stop"] = str(state.output.stop_reason) if state.output.choices else ""
        return state

    return solve


async def _take_turn(state: TaskState, row: Row, name: str, prompted: bool) -> list[list[str]]:
    """A turn's answers, each as the calls that it made."""
    declared = load_package().declare(copy.deepcopy(row["function"]))
    tools = [ToolInfo.model_validate(tool["function"]) for tool in declared]
    known = declared_tools(tool["function"] for tool in declared)
    steps: list[list[str]] = []
    while not _is_forced(steps):
        made = await _answer(state, tools, prompted)
        state.metadata["calls"] += len(made)
        state.metadata["valid_calls"] += sum(
            not c.parse_error and fits(c.function, c.arguments, known) for c in made
        )
        if not made or any(call.parse_error for call in made):
            break
        steps.append([write_call(ModelCall(c.function, c.arguments), known) for c in made])
        results = await anyio.to_thread.run_sync(make_calls, row, name, steps[-1])
        state.messages += [
            ChatMessageTool(content=result, tool_call_id=call.id, function=call.function)
            for call, result in zip(made, results, strict=True)
        ]
    return steps


async def _answer(
    state: TaskState, tools: Sequence[ToolInfo], prompted: bool
) -> Sequence[ToolCall]:
    state.output = await ask(state.messages, tools, prompted=prompted)
    state.metadata["tokens"] += state.output.usage.output_tokens if state.output.usage else 0
    if not state.output.choices:
        return ()
    state.messages.append(state.output.message)
    return state.output.message.tool_calls or ()


def _is_forced(steps: Sequence[Sequence[str]]) -> bool:
    """Whether a turn had more answers with calls than the benchmark lets it."""
    most: int = MAXIMUM_STEP_LIMIT
    return len(steps) > most


def judge(state: TaskState) -> Verdict:
    """The benchmark's checker on the calls, turn by turn."""
    turns: list[list[list[str]]] = state.metadata["turns"]
    row: Row = json.loads(state.metadata["row"])
    # As the benchmark has it, too many answers in the very last turn are none too many.
    cut = len(turns) < len(row["ground_truth"])
    reason = "force_terminated" if cut else check_turns(row, turns)
    return Verdict(0.0, reason) if reason else Verdict(1.0)
