"""BFCL v4, single turns of Python: which function, with which arguments, and when none.

Items, prompt and checker are the benchmark's own (gorilla.cs.berkeley.edu/leaderboard).
"""

import json
from collections.abc import Sequence
from importlib.metadata import version

from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessage, ChatMessageSystem, ChatMessageUser, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolCall, ToolInfo

from k2core.evaluate.suites.bfcl_package import Calls, NoCallsError, Row, load_package, read_rows
from k2core.evaluate.suites.suite import CATEGORY, Bench, Suite, make_suite, take
from k2core.sandbox import Verdict
from schemas.benchmarks import BenchmarkConfig

CATEGORIES = ("simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance")
"""The non-live half: 1,240 items."""


def build(config: BenchmarkConfig, bench: Bench, categories: Sequence[str] = CATEGORIES) -> Suite:
    """Every item of the categories, or the first of each."""
    prompted = config.tool_calls == "prompted"
    samples = [_sample(row, name, prompted) for name in categories for row in read_rows(name)]
    return make_suite(
        "bfcl",
        take(samples, config.limit),
        f"bfcl-eval {version('bfcl-eval')}",
        lambda state: judge(state, prompted),
        None if prompted else declare_tools(),
    )


@solver
def declare_tools() -> Solver:
    """One answer, the item's functions declared to the server."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        tools = [ToolInfo.model_validate(tool) for tool in state.metadata["tools"]]
        state.output = await get_model().generate(state.messages, tools=tools)
        state.messages.append(state.output.message)
        return state

    return solve


def judge(state: TaskState, prompted: bool) -> Verdict:
    """The benchmark's checker on the calls; where no function fits, any call is wrong."""
    facts = state.metadata
    try:
        calls = _decode(state.output.completion) if prompted else _calls(state)
    except NoCallsError as error:
        calls, fault = [], f"wrong_form: {error}"
    else:
        fault = "no_call"
    if facts[CATEGORY].endswith("irrelevance"):
        return Verdict(0.0, "called_none_fits") if calls else Verdict(1.0)
    if not calls:
        return Verdict(0.0, fault)
    functions = json.loads(facts["functions"])
    found = load_package().check(functions, calls, json.loads(facts["gold"]), facts[CATEGORY])
    return Verdict(1.0) if found["valid"] else Verdict(0.0, str(found.get("error_type", "wrong")))


def _decode(answer: str) -> Calls:
    try:
        return load_package().decode(answer)
    except NoCallsError:
        raise
    except Exception as error:  # the package's decoder fails in its own ways on free text
        raise NoCallsError(type(error).__name__) from None


def _calls(state: TaskState) -> Calls:
    made: Sequence[ToolCall] = state.output.message.tool_calls or () if state.output.choices else ()
    for call in made:
        if call.parse_error:
            raise NoCallsError("arguments are no JSON object")
    return [{call.function: dict(call.arguments)} for call in made]


def _sample(row: Row, category: str, prompted: bool) -> Sample:
    messages, functions = row["question"][0], row["function"]
    facts: dict[str, object] = {
        CATEGORY: category,
        # As text: the checker changes what it is given.
        "functions": json.dumps(functions),
        "gold": json.dumps(row["ground_truth"]),
    }
    package = load_package()
    if prompted:
        messages = package.prompt(list(messages), json.loads(facts["functions"]), row["id"])  # type: ignore[arg-type]
    else:
        tools = package.declare(json.loads(str(facts["functions"])))
        facts["tools"] = [tool["function"] for tool in tools]
    return Sample(id=row["id"], input=[_message(m) for m in messages], metadata=facts)


def _message(message: Row) -> ChatMessage:
    kind = ChatMessageSystem if message["role"] == "system" else ChatMessageUser
    return kind(content=message["content"])
