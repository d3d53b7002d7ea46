"""Somebody's own code, run where it can harm nothing and hold nobody up.

Each time a fresh, jailed process runs it, without files or network, within limits of time and
memory. What it imports is imported before, by the interpreter that the process is forked from.
"""

import ast
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

from pydantic import JsonValue

from k2core.sandbox.protocol import CodeRunner
from k2core.sandbox.verdict import SandboxError
from k2core.sandbox.zygote import JobEnd, Limits
from schemas.source import Code, digest_package

_PREPARED = Path(__file__).with_name("prepared_own.py")
_MEMORY_MB = 2048
_WALL = 3
"""Seconds of wall time a second of CPU time: what sleeps is ended, what waits for a core is not."""
_JOB = """
import json, os, sys
out, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
given = json.loads(sys.stdin.read())
os.dup2(null, 1), os.dup2(null, 2)
os.write(out, json.dumps(sys.modules["prepared"].answer(given)).encode())
"""


class OwnCodeError(RuntimeError):
    """Somebody's own code did what it should not; says what, and is nobody's wrong answer."""


def run_own(
    sandbox: CodeRunner,
    code: Code,
    task: Literal["score", "play"],
    about: Mapping[str, JsonValue],
    seconds: int,
) -> dict[str, JsonValue]:
    """What a function gives, or an environment says.

    Args:
        sandbox: where it runs.
        code: what runs.
        task: `score` calls a function, `play` takes an environment through actions.
        about: what it is given.
        seconds: of CPU time.

    Raises:
        OwnCodeError: it raised, hung, took too much, or gave what makes no sense.
        SandboxError: the sandbox failed.
        ValueError: the code's package is another here than the config was stated for.
    """
    given: dict[str, JsonValue] = {
        "text": code.text,
        "module": code.module,
        "entry": code.entry,
        "task": task,
        "about": dict(about),
    }
    limits = Limits(seconds, _WALL * seconds + 2.0, _MEMORY_MB)
    try:
        ran = sandbox.run_prepared(set_up(code), _JOB, json.dumps(given), limits)
    except SandboxError as error:
        if code.text:
            raise
        raise OwnCodeError(f"{code.named} cannot be imported: {error}") from error
    try:
        said: dict[str, JsonValue] = json.loads(ran.stdout)
    except ValueError:
        raise OwnCodeError(f"{code.named} {_end(ran.end, limits)}") from None
    if "error" in said:
        raise OwnCodeError(f"{code.named}: {said['error']}")
    return said


def read_own(given: JsonValue) -> Code:
    """The code that a problem carries."""
    return Code.model_validate(cast("object", given))


def set_up(code: Code) -> str:
    """The module that the jailed processes are forked from: it holds what the code imports.

    Raises:
        ValueError: the package's sources are not those that the config was stated for.
    """
    setup = _PREPARED.read_text()
    if code.text:
        return f"{setup}\nprepare({list_imports(code.text)!r}, [])\n"
    if digest_package(code.named) != code.signed:
        raise ValueError(f"{code.named} has changed since the config was stated: state it again")
    path = [place for place in sys.path if place and "site-packages" not in place]
    return f"{setup}\nprepare({[code.module]!r}, {path!r})\n"


def list_imports(text: str) -> Sequence[str]:
    """What a source imports anywhere, `module` or `module:name`, sorted.

    A name is one that it imports or takes of a module: packages load parts when they are named.
    """
    found: set[str] = set()
    nodes = list(ast.walk(ast.parse(text)))
    imports = [node for node in nodes if isinstance(node, ast.Import)]
    modules = {a.asname or a.name: a.name for node in imports for a in node.names}
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id)
            found |= {f"{module}:{node.attr}"} if module else set()
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}:{alias.name}" for alias in node.names if alias.name != "*"}
    return sorted(found)


def _end(end: JobEnd, limits: Limits) -> str:
    if end.is_over_cpu(limits):
        return f"takes more than {limits.cpu_s} s of CPU time"
    if end.timed_out:
        return f"takes more than {limits.wall_s:.0f} s"
    return f"ends without a word (exit code {end.exit_code})"
