"""A reward function of somebody's own, run where it can harm nothing and hold nobody up.

Each answer is judged in a fresh, jailed process without files or network, within limits of time and
memory. What the function imports is imported before, by the interpreter that the process is forked
from. Whatever it does but return a number from 0 to 1 is its own failure and not the answer's: the
verdict is faulty, counted, and no reward.
"""

import ast
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from k2core.rewards.outcome import Outcome
from k2core.sandbox import CodeRunner, JobEnd, Limits, SandboxError, Verdict
from schemas.chat import Message, Problem
from schemas.source import Code, digest_package

_CONFINED = Path(__file__).parent / "confined" / "own.py"
_MEMORY_MB = 2048
_WALL = 3
"""Seconds of wall time a second of CPU time: what sleeps is ended, what waits for a core is not."""
_JOB = """
import json, os, sys
out, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
given = json.loads(sys.stdin.read())
os.dup2(null, 1), os.dup2(null, 2)
os.write(out, json.dumps(sys.modules["prepared"].judge(given)).encode())
"""


def check_own_code(problem: Problem, outcome: Outcome, sandbox: CodeRunner | None) -> Verdict:
    """`{"code": ..., "seconds": 5, "row": {...}}`: what the function gives, from 0 to 1.

    Raises:
        ValueError: the function's package is another here than the config was stated for.
    """
    if sandbox is None:
        raise ValueError("a function of your own needs a sandbox to run in: pass one to verify")
    expected = problem.expected
    code, row = Code.model_validate(expected["code"]), expected["row"]
    if not isinstance(row, dict):
        raise TypeError(f"row {row!r} is not an object")
    given: dict[str, JsonValue] = {
        "text": code.text,
        "module": code.module,
        "entry": code.entry,
        "about": describe(problem, outcome, row),
    }
    seconds = int(str(expected["seconds"]))
    limits = Limits(seconds, _WALL * seconds + 2.0, _MEMORY_MB)
    try:
        ran = sandbox.run_prepared(set_up(code), _JOB, json.dumps(given), limits)
    except SandboxError as error:
        if code.text:
            raise
        return Verdict.faulty(f"{code.named} cannot be imported: {error}")
    try:
        said = json.loads(ran.stdout)
    except ValueError:
        return Verdict.faulty(f"{code.named} {_end(ran.end, limits)}")
    if "error" in said:
        return Verdict.faulty(f"{code.named}: {said['error']}")
    reward = float(said["reward"])
    return Verdict(reward, "" if reward == 1.0 else "partly_right" if reward else "wrong_answer")


def describe(problem: Problem, outcome: Outcome, row: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """All that a function may ask for, by the names of its parameters.

    `prompt`, `completion`, `answer`, `info` and `state` mean what reward functions of the library
    `verifiers` take them for.
    """
    asked = len(problem.messages)
    return row | {
        "response": outcome.answer or "",
        "answer": row.get("answer"),
        "prompt": [_plain(m) for m in problem.messages],
        "completion": [_plain(m) for m in outcome.messages[asked:]],
        "messages": [_plain(m) for m in outcome.messages],
        "info": row,
        "row": row,
        "state": dict(outcome.state),
    }


def set_up(code: Code) -> str:
    """The module that the jailed processes are forked from: it holds what the function imports.

    Raises:
        ValueError: the package's sources are not those that the config was stated for.
    """
    setup = _CONFINED.read_text()
    if code.text:
        return f"{setup}\nprepare({list_imports(code.text)!r}, [])\n"
    if digest_package(code.named) != code.signed:
        raise ValueError(f"{code.named} has changed since the config was stated: state it again")
    path = [place for place in sys.path if place and "site-packages" not in place]
    return f"{setup}\nprepare({[code.module]!r}, {path!r})\n"


def list_imports(text: str) -> Sequence[str]:
    """Modules that a source imports anywhere, sorted."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return sorted(found)


def _plain(message: Message) -> JsonValue:
    kept = message.model_dump(exclude_defaults=True)
    return cast("JsonValue", {"content": message.content, **kept})


def _end(end: JobEnd, limits: Limits) -> str:
    if end.is_over_cpu(limits):
        return f"takes more than {limits.cpu_s} s of CPU time"
    if end.timed_out:
        return f"takes more than {limits.wall_s:.0f} s"
    return f"ends without a reward (exit code {end.exit_code})"
