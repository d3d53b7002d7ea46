"""A scripted expert: plays a family's script through the loop that models are put through."""

import json
import random
from typing import NamedTuple

from k2core.agents.dialogue import Dialogue, close_session
from k2core.agents.session import Session
from k2core.agents.user import User
from k2core.environments import Environment
from k2core.problems.family import Act, Call, Calls, Say, Script
from k2core.problems.results import UnexpectedResultError, is_busy
from schemas.chat import Message, Problem, ToolCall

_BY_STATE = ("final_state", "scenario")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Habits(NamedTuple):
    """What a dialogue is to show."""

    slips: bool = False
    """Gets the first call wrong, reads the error, and makes it right."""
    insists: bool = False
    """Makes a call again as long as the server is busy, whatever the script says."""
    fails: bool = False
    """Ends with a wrong answer."""
    says: str = ""
    """What it says beside its first call; nothing if empty."""


def play_expert(
    problem: Problem,
    script: Script,
    habits: Habits,
    rng: random.Random,
    environment: Environment | None = None,
    user: User | None = None,
) -> Dialogue:
    """Play one dialogue.

    Args:
        problem: what is asked.
        script: the expert's side, e.g. `FAMILIES[name].act(posed, shortcut=False)`.
        habits: what else the dialogue is to show.
        rng: draws the slips and the wrong answers.
        environment: executes the calls; by default a fresh simulator.
        user: speaks for the user; by default by the problem's own lines.
    """
    session = Session(problem, environment, user)
    pending: Act = next(script)
    slip, beside = habits.slips, habits.says
    while session.stop_reason is None:
        said, again = pending, False
        if habits.fails and _fails_here(pending, session):
            said = wrong_answer(problem, rng)
        elif slip and not isinstance(pending, Say):
            first = pending.calls[0] if isinstance(pending, Calls) else pending
            said, slip, again = slip_of(first, problem, rng), False, True
        answers = session.reply(_message(said, session.num_calls, beside))
        beside = beside if isinstance(said, Say) else ""
        if session.stop_reason is None and not again:
            heard = "\n".join(answer.content for answer in answers)
            busy = not isinstance(said, Say) and any(map(is_busy, heard.splitlines()))
            if not (habits.insists and busy):
                pending = _next_act(script, heard)
    script.close()
    return close_session(session, "expert")


def _next_act(script: Script, heard: str) -> Act:
    try:
        return script.send(heard)
    except (UnexpectedResultError, StopIteration):  # a broken tool: no script goes on from there
        return Say("I could not do it.")


def slip_of(call: Call, problem: Problem, rng: random.Random) -> Call:
    """The call with a wrong tool name or a wrong argument name: an error that changes nothing."""
    if rng.random() < 0.5 or not call.arguments:
        known = {tool.name for tool in problem.tools}
        name = next(n for n in (f"{call.name}s", f"{call.name}_it") if n not in known)
        return Call(name, call.arguments)
    first, *rest = call.arguments
    letter = rng.choice([c for c in _LETTERS if c not in call.arguments])
    renamed = {letter: call.arguments[first]} | {k: call.arguments[k] for k in rest}
    return Call(call.name, renamed)


def wrong_answer(problem: Problem, rng: random.Random) -> Say:
    """An answer that is not the expected one."""
    if problem.verifier == "declined":
        return Say(f"It is {rng.randint(10, 99)}.")
    answer = problem.expected.get("answer")
    number = str(answer)
    if number.isdigit():
        return Say(str(int(number) + rng.choice((1, 2, 10, 100))))
    return Say("Done." if problem.verifier in _BY_STATE else "I do not know.")


def _fails_here(act: Act, session: Session) -> bool:
    """At the final answer; where the state is what counts, already at the first call."""
    if isinstance(act, Call):
        return session.problem.verifier in _BY_STATE
    return session.goal_is_told


def _message(act: Act, next_index: int, beside: str) -> Message:
    if isinstance(act, Say):
        return Message(role="assistant", content=act.text)
    calls = tuple(
        ToolCall(
            id=f"functions.{call.name}:{next_index + place}",
            name=call.name,
            arguments=json.dumps(call.arguments, separators=(",", ":"), ensure_ascii=False),
        )
        for place, call in enumerate(act.calls if isinstance(act, Calls) else (act,))
    )
    return Message(role="assistant", content=beside, tool_calls=calls)
