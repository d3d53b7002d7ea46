"""Languages that a problem's program may be written in, and what each needs of the sandbox."""

from pathlib import Path
from typing import NamedTuple

from k2core.sandbox.tiers import Tier
from k2core.sandbox.verdict import SandboxUnavailableError
from k2core.sandbox.zygote import Program


class Language(NamedTuple):
    """How a language runs."""

    program: Program
    """How the zygote starts it."""
    toolchain: str = ""
    """Interpreter or compiler, a path in the jail; empty if the zygote itself is it."""
    compiler: str = ""
    """Shell script that turns source on its input into an executable on its output."""


def _compiled(compiler: str, kind: str) -> Language:
    build = f"{compiler} -x {kind} -O1 -pipe -o /tmp/program - -lm && cat /tmp/program"
    return Language("binary", compiler, build)


LANGUAGES = {
    "python": Language("script"),
    "bash": Language("shell", "/usr/bin/bash"),
    "c": _compiled("/usr/bin/gcc", "c"),
    "c++": _compiled("/usr/bin/g++", "c++"),
}


def find_language(name: str, tier: Tier) -> Language:
    """The language of this name, where it can run.

    Raises:
        ValueError: nobody taught the sandbox this language.
        SandboxUnavailableError: its toolchain is not installed, or needs more than the tier gives.
    """
    if name not in LANGUAGES:
        raise ValueError(f"unknown language {name!r}; known: {', '.join(LANGUAGES)}")
    language = LANGUAGES[name]
    if not language.toolchain:
        return language
    if tier == "B":
        raise SandboxUnavailableError(
            f"{name} needs several processes: tier A (user namespaces) runs it, tier B does not"
        )
    if not Path(language.toolchain).exists():
        raise SandboxUnavailableError(
            f"{name} needs {language.toolchain}, which is not installed on this machine"
        )
    return language
