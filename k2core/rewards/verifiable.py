"""Verifiers by name: the one registry. Each gives its family's gold outcome 1, a wrong one 0."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from k2core.critic import find_breach, load_rubric, told
from k2core.problems.marked import marked_answer, plain_number
from k2core.rewards.calls import check_calls
from k2core.rewards.choices import check_choice
from k2core.rewards.code_blocks import extract_code
from k2core.rewards.function_calls import check_function_calls
from k2core.rewards.instructions import follows
from k2core.rewards.numbers import Value, final_number
from k2core.rewards.outcome import OVER_BUDGET, Outcome
from k2core.rewards.own_code import check_own_code, check_own_environment
from k2core.rewards.scenarios import check_scenario
from k2core.rewards.scoring import check_expression, check_puzzle
from k2core.sandbox import CodeRunner, IoCase, Verdict
from schemas.chat import Problem
from schemas.rubrics import ANY, RUBRIC

Expected = Mapping[str, JsonValue]
Verifier = Callable[[Problem, Outcome, CodeRunner | None], Verdict]

_MARKUP = (
    *(("**", "**"), ("`", "`"), ('"', '"'), ("'", "'"), ("*", "*"), ("_", "_")),
    *(("\u201c", "\u201d"), ("\u2018", "\u2019"), ("\u00ab", "\u00bb")),
)
_RIGHT = Verdict(1.0)
_DECLINES = re.compile(
    r"\bno (?:\w+ )?(?:tool|function)|\b(?:cannot|can[\u2019']t|can not|unable|not able)\b"
    r"|(?:\b(?:no|not)|n[\u2019']t)\b[^.!?]{0,40}\b(?:tool|function|access|way)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d|\b(?:ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)\b",
    re.IGNORECASE,
)


def verify(problem: Problem, outcome: Outcome, sandbox: CodeRunner | None = None) -> Verdict:
    """Reward an outcome by the problem's own verifier.

    Raises:
        ValueError: the problem names an unknown verifier, or one that its `expected` does not fit.
        SandboxError: the sandbox failed, which says nothing about the outcome.
    """
    if problem.verifier not in VERIFIERS:
        known = ", ".join(sorted(VERIFIERS))
        raise ValueError(
            f"{problem.problem_id}: unknown verifier {problem.verifier!r}; known: {known}"
        )
    if outcome.over_budget:
        return Verdict(0.0, OVER_BUDGET)
    try:
        return VERIFIERS[problem.verifier](problem, outcome, sandbox)
    except (KeyError, TypeError, ValueError) as error:
        why = f"lacks {error}" if isinstance(error, KeyError) else f"does not fit: {error}"
        raise ValueError(f"{problem.problem_id}: {problem.verifier}: expected {why}") from error


def check_integer(problem: Problem, outcome: Outcome, _: CodeRunner | None) -> Verdict:
    """`{"answer": 37}`: the last number of the final text, as `k2core.rewards.numbers` reads it.

    Where the text marks its answer (`k2core.problems.marked`), the last number of that.
    """
    if outcome.answer is None:
        return Verdict(0.0, "no_answer")
    wanted = problem.expected["answer"]
    if type(wanted) is not int:
        raise TypeError(f"answer {wanted!r} is not an integer")
    marked = marked_answer(outcome.answer)
    found = final_number(plain_number(outcome.answer if marked is None else marked))
    if found is None:
        return Verdict(0.0, "no_number")
    # As text, since a model may write more digits than Python converts.
    right = found.value == Value(wanted < 0, str(abs(wanted)), "")
    return _RIGHT if right else Verdict(0.0, "wrong_answer")


def check_text(problem: Problem, outcome: Outcome, _: CodeRunner | None) -> Verdict:
    """`{"answer": "..."}`: the final text, but for white space, marks around it and a full stop.

    Where the text marks its answer (`k2core.problems.marked`), that; of several answers in a list
    any will do.
    """
    if outcome.answer is None:
        return Verdict(0.0, "no_answer")
    answer, given = outcome.answer, problem.expected["answer"]
    if isinstance(given, dict) or given in (None, []):
        raise TypeError(f"answer {given!r} is no text, nor several")
    wanted = list(map(str, given if isinstance(given, list) else [given]))
    marked = marked_answer(answer)
    said = _bare(answer if marked is None else marked)
    right = answer in map(str.strip, wanted) or said in {*map(_bare, wanted)} - {""}
    return _RIGHT if right else Verdict(0.0, "wrong_answer")


def check_state(problem: Problem, outcome: Outcome, sandbox: CodeRunner | None) -> Verdict:
    """`{"state": {...}}`, a part of the final state; with `"answer"`, of the text as well."""
    expected = problem.expected
    if not _contains(outcome.state, expected["state"]):
        return Verdict(0.0, "wrong_state")
    if outcome.answer is None:
        return Verdict(0.0, "no_answer")
    if "answer" not in expected:
        return _RIGHT
    check = check_integer if type(expected["answer"]) is int else check_text
    return check(problem, outcome, sandbox)


def check_function(problem: Problem, outcome: Outcome, sandbox: CodeRunner | None) -> Verdict:
    """`{"tests": [...], "entry_points": [...]}`: all hidden tests hold for the final code.

    `setup`, if there is one, is code that runs before the answer's: a prompt's imports.
    """
    if sandbox is None:
        raise ValueError("code needs a sandbox to be judged in: pass one to verify")
    expected = problem.expected
    tests, entry_points = _texts(expected, "tests"), _texts(expected, "entry_points")
    if outcome.answer is None:
        return Verdict(0.0, "no_answer")
    code = with_setup(expected, extract_code(outcome.answer, names=entry_points))
    verdict = sandbox.judge_calls(code, tests, tuple(entry_points))
    return _all_or_nothing(verdict, "tests")


def check_program(problem: Problem, outcome: Outcome, sandbox: CodeRunner | None) -> Verdict:
    """`{"cases": [{"stdin": "2", "stdout": "4"}], "language": "python"}`: all outputs are right."""
    if sandbox is None:
        raise ValueError("code needs a sandbox to be judged in: pass one to verify")
    given: Any = problem.expected["cases"]
    cases = [IoCase(str(case["stdin"]), str(case["stdout"])) for case in given]
    if outcome.answer is None:
        return Verdict(0.0, "no_answer")
    language = str(problem.expected.get("language", "python"))
    verdict = sandbox.judge_io(extract_code(outcome.answer, language), cases, language=language)
    return _all_or_nothing(verdict, "cases")


def check_instruction(problem: Problem, outcome: Outcome, _: CodeRunner | None) -> Verdict:
    """`{"kind": ..., ...}`: the final text has the form that was asked for."""
    if outcome.answer is None:
        return Verdict(0.0, "no_answer")
    return _RIGHT if follows(problem.expected, outcome.answer) else Verdict(0.0, "wrong_form")


def check_rubric(problem: Problem, outcome: Outcome, _: CodeRunner | None) -> Verdict:
    """`{"context": "advice"}`: the final text breaks no prescriptive rule; a critic ranks the rest.

    1 says no more than that: what an answer is worth, reinforcement learning asks the policy.
    """
    if not isinstance(problem.expected.get("context", ANY), str):
        raise TypeError(f"context {problem.expected['context']!r} is not a text")
    if outcome.answer is None:
        return Verdict(0.0, "no_answer")
    rules = [rule.check for rule in load_rubric().rules_of(problem)]
    breach = find_breach(rules, told(problem.messages), outcome.answer)
    return Verdict(0.0, breach) if breach else _RIGHT


def check_declined(_: Problem, outcome: Outcome, __: CodeRunner | None) -> Verdict:
    """`{}`: nothing fits, so nothing was called, the answer says so, and states no number."""
    if any(message.tool_calls for message in outcome.messages):
        return Verdict(0.0, "called_none_fits")
    if not outcome.answer:
        return Verdict(0.0, "no_answer")
    if _NUMBER.search(outcome.answer):
        return Verdict(0.0, "made_up_a_value")
    return _RIGHT if _DECLINES.search(outcome.answer) else Verdict(0.0, "did_not_decline")


VERIFIERS: dict[str, Verifier] = {
    "integer_answer": check_integer,
    "text_answer": check_text,
    "choice": check_choice,
    "final_state": check_state,
    "expression": check_expression,
    "puzzle": check_puzzle,
    "python_function": check_function,
    "program": check_program,
    "tool_calls": check_calls,
    "function_calls": check_function_calls,
    "instruction": check_instruction,
    "declined": check_declined,
    "scenario": check_scenario,
    RUBRIC: check_rubric,
    "own_code": check_own_code,
    "own_environment": check_own_environment,
}
CONFINED = frozenset(
    {"expression", "puzzle", "python_function", "program", "own_code", "own_environment"}
)
"""Those that judge in a sandbox."""


def with_setup(expected: Expected, code: str) -> str:
    """Code after what the problem runs before it."""
    setup = expected.get("setup")
    return f"{setup}\n{code}" if isinstance(setup, str) and setup else code


def _bare(text: str) -> str:
    """A text without how it is set: one form of each letter, no marks, no full stop at the end."""
    text = " ".join(unicodedata.normalize("NFC", text).split()).removesuffix("\u3002")
    text = text.removesuffix(".")
    for opening, closing in _MARKUP:
        if text.startswith(opening) and text.endswith(closing) and len(text) > 2 * len(opening):
            text = text[len(opening) : -len(closing)].strip()
    return text.removesuffix(".")


def _all_or_nothing(verdict: Verdict, of: str) -> Verdict:
    """A share of what was asked earns nothing; a faulty environment's verdict is passed on."""
    if verdict.is_faulty or verdict.reward == 1.0:
        return verdict
    return Verdict(0.0, f"{of}: {verdict.reason}")


def _contains(whole: Any, part: Any) -> bool:
    """Whether all of `part` is in `whole`: objects by key, all else equal and of equal type."""
    if isinstance(part, Mapping):
        return isinstance(whole, Mapping) and all(
            key in whole and _contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return (
            isinstance(whole, list | tuple)
            and len(whole) == len(part)
            and all(_contains(w, p) for w, p in zip(whole, part, strict=True))
        )
    return type(whole) is type(part) and bool(whole == part)


def _texts(expected: Expected, field: str) -> Sequence[str]:
    values = expected[field]
    if not isinstance(values, list) or not values or not all(isinstance(v, str) for v in values):
        raise ValueError(f"{field} must be a list of at least one text")
    return [str(value) for value in values]
