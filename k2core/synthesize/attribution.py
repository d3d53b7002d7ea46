"""Whose fault a failed dialogue was: by evidence, and the agent's only where it is nobody else's.

1. Environment: every call is executed again by the problem's own semantics, from the same seed. A
   result or a final state that differs is the simulator's doing, not the agent's.
2. User: its words are held against the problem's own lines; an unanswered question while lines were
   left, or words that are not its own, are the user simulator's doing.
3. Agent: what is left, with what it did wrong.

The side whose deviation came first in the dialogue is at fault: what follows it may be its effect.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from k2core.agents import Dialogue, open_user
from k2core.environments import ENVIRONMENTS, execute_call, open_environment, stated_error
from k2core.problems.tools import reads_old_copy
from k2core.sandbox import Verdict
from schemas.chat import Message, ToolCall

Side = Literal["agent", "environment", "user", "judge"]
BUSY = "busy"


class Fault(NamedTuple):
    """A side and what it did."""

    side: Side
    what: str

    def __str__(self) -> str:
        return f"{self.side}: {self.what}"


class Deviation(NamedTuple):
    """Where a simulator left its problem."""

    position: int
    """The message, by its place in the dialogue; its length for the final state."""
    fault: Fault


def find_fault(dialogue: Dialogue, verdict: Verdict) -> Fault:
    """Whose fault a failed dialogue was."""
    found = [d for d in (replay(dialogue), hear_user(dialogue)) if d]
    if found:
        return min(found).fault
    return Fault("agent", blame_agent(dialogue, verdict))


def replay(dialogue: Dialogue) -> Deviation | None:
    """Execute the calls again; where the environment first answered otherwise."""
    problem = dialogue.problem
    if problem.environment not in ENVIRONMENTS:  # a real server: nothing to hold it against
        return _given_up(dialogue)
    environment = open_environment(problem)
    for position, call, heard in list_calls(dialogue.messages):
        due = execute_call(environment, call)
        if heard != due:
            return Deviation(position, Fault("environment", describe(heard, due)))
    if environment.state != dialogue.state:
        lost = Fault("environment", "did not do what it said it did")
        return Deviation(len(dialogue.messages), lost)
    return _given_up(dialogue)


def list_calls(messages: Sequence[Message]) -> list[tuple[int, ToolCall, str]]:
    """Each answered call with the place of its answer and the answer."""
    made = {call.id: call for message in messages for call in message.tool_calls}
    return [
        (position, made[message.tool_call_id or ""], message.content)
        for position, message in enumerate(messages)
        if message.role == "tool"
    ]


def describe(heard: str, due: str) -> str:
    """How an answer deviates."""
    said, meant = stated_error(heard), stated_error(due)
    if said == BUSY:
        return "busy to the end"
    if said is not None and meant is None:
        return "refused a correct call"
    if said is None and meant is not None:
        return "accepted a wrong call"
    return "gave another result than its semantics"


def hear_user(dialogue: Dialogue) -> Deviation | None:
    """Where the user first said, or kept back, what the problem's own user would not have."""
    messages, problem = dialogue.messages, dialogue.problem
    strays = [at for at, due in enumerate(problem.messages) if messages[at] != due]
    if strays:
        return Deviation(strays[0], Fault("user", "said what is not its goal"))
    user = open_user(problem)
    for at, message in enumerate(messages):
        if message.role != "assistant" or message.tool_calls:
            continue
        due = user.reply(message.content)
        heard = messages[at + 1].content if at + 1 < len(messages) else None
        if heard == due or (heard is None and dialogue.stop_reason != "answered"):
            continue
        silent = heard is None
        what = "never told the goal" if silent else "said what is not its goal"
        return Deviation(at if silent else at + 1, Fault("user", what))
    return None


def blame_agent(dialogue: Dialogue, verdict: Verdict) -> str:
    """What the agent did wrong, the most telling first."""
    calls = list_calls(dialogue.messages)
    errors = [stated_error(heard) for _, _, heard in calls]
    done = [call for (_, call, _), error in zip(calls, errors, strict=True) if error is None]
    if verdict.reason == "wrong_state" and not done:
        return "claimed what it did not do"
    if done and reads_old_copy(dialogue.problem, done[-1].name):
        return "trusted an old copy"
    if errors and errors[-1] is not None and errors[-1] != BUSY:
        kind = next((k for k in ("unknown tool", "argument") if k in errors[-1]), "call")
        return f"gave up after a failed call ({kind})"
    last = dialogue.messages[-1]
    if dialogue.stop_reason == "answered" and last.content.endswith("?"):
        return "asked for what it was told"
    return verdict.reason


def _given_up(dialogue: Dialogue) -> Deviation | None:
    """Busy at every call, by its own rates: nobody could have got through."""
    calls = list_calls(dialogue.messages)
    if dialogue.over_budget and calls and all(stated_error(heard) == BUSY for *_, heard in calls):
        return Deviation(len(dialogue.messages), Fault("environment", "busy to the end"))
    return None
