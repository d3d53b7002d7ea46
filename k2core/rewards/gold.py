"""A right and a wrong answer of a problem, and whether its verifier can tell them apart."""

import json
from typing import NamedTuple, TypeVar, cast

from pydantic import JsonValue

from k2core.rewards.outcome import Outcome
from k2core.rewards.verifiable import VERIFIERS, verify
from k2core.sandbox import CodeRunner
from k2core.sandbox.protocol import Asked
from schemas.chat import Message, Problem, ToolCall
from schemas.rubrics import RUBRIC

_T = TypeVar("_T")


class Misfit(NamedTuple):
    """What a verifier cannot work with."""

    field: str
    reason: str


class _ReachedError(Exception):
    """A verifier took what is expected, and is about to judge."""


class _NoRunner(CodeRunner):
    """Runs nothing: a verifier that comes so far has read all that it needs."""

    def ask(self, job: Asked[_T]) -> _T:
        """Tell that it came here."""
        raise _ReachedError


def find_misfit(problem: Problem) -> Misfit | None:
    """What is wrong with a problem, as far as can be told without running anything."""
    if problem.verifier not in VERIFIERS:
        known = ", ".join(sorted(VERIFIERS))
        return Misfit("verifier", f"there is no {problem.verifier[:40]!r}; there are {known}")
    right = gold_outcome(problem)
    try:
        verdict = verify(problem, right or answered(problem, "?"), _NoRunner())
    except _ReachedError:
        return None
    except ValueError as error:
        reason = str(error).removeprefix(f"{problem.problem_id}: ")
        return Misfit("answer" if "'answer'" in reason else "expected", reason[:200])
    if right is not None and verdict.reward < 1.0:
        return Misfit("answer", f"{problem.verifier} refuses it: {verdict.reason}")
    return None


def gold_answer(problem: Problem) -> str | None:
    """What a right answer is, where what is expected tells; None where it does not."""
    expected = problem.expected
    if problem.verifier == "puzzle":
        entry = expected.get("entry")
        expected = entry if isinstance(entry, dict) else {}
    elif problem.verifier == "own_code":
        row = expected.get("row")
        expected = row if isinstance(row, dict) else {}
    elif problem.verifier in ("python_function", "program"):
        expected = {"answer": expected.get("solution")}
    elif problem.verifier not in ("integer_answer", "text_answer", "expression", "choice"):
        return None
    answer = expected.get("answer")
    if isinstance(answer, list) and answer and problem.verifier == "text_answer":
        answer = answer[0]
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        return None
    return str(answer)


def gold_outcome(problem: Problem) -> Outcome | None:
    """A dialogue that ends rightly; None where what is expected does not tell."""
    if problem.verifier == "function_calls":
        return _called(problem, problem.expected.get("calls"))
    answer = gold_answer(problem)
    if answer is None:
        return None
    # As a model would write it: a text that is letter for letter the gold asks no scorer.
    boxed = problem.verifier == "expression"
    return answered(problem, rf"\boxed{{{answer}}}" if boxed else answer)


def _called(problem: Problem, calls: JsonValue) -> Outcome | None:
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        return None
    made = list[ToolCall]()
    for number, call in enumerate(cast("list[dict[str, JsonValue]]", calls)):
        name, arguments, several = call.get("name"), call.get("arguments"), call.get("any_of")
        if isinstance(several, dict):
            arguments = {k: v[0] for k, v in several.items() if isinstance(v, list) and v[0] != ""}
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return None
        called = f"functions.{name}:{number}"
        made.append(ToolCall(id=called, name=name, arguments=json.dumps(arguments)))
    said = Message(role="assistant", content="" if made else "None fits.", tool_calls=tuple(made))
    return Outcome((*problem.messages, said))


def wrong_answer(problem: Problem) -> str:
    """What a wrong answer is, whatever is expected."""
    if problem.verifier == RUBRIC:
        return "What a great question!"  # of what nobody can verify, a rule's breach
    right = gold_answer(problem) or ""
    if problem.verifier == "choice":
        return "B" if right == "A" else "A"
    return str(int(right) + 1) if right.lstrip("-").isdecimal() else "I do not know."


def answered(problem: Problem, text: str) -> Outcome:
    """A dialogue that ends with this answer."""
    said = Message(role="assistant", content=text)
    own = problem.verifier == "own_environment"
    return Outcome((*problem.messages, said), {"actions": [text]} if own else {})
