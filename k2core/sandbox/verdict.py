"""What judging says, and how it fails."""

from typing import NamedTuple


class Verdict(NamedTuple):
    """A reward and why it is not higher."""

    reward: float
    """Share of what was asked that holds, 0 to 1."""
    reason: str = ""
    """Empty if the reward is 1; else the first thing that went wrong."""


class IoCase(NamedTuple):
    """One run of a program that talks over standard input and output."""

    stdin: str
    stdout: str
    """Expected output; white space at either end and of any width between words is ignored."""


class SandboxError(RuntimeError):
    """The sandbox itself failed; says nothing about the program, which must not be scored."""


class SandboxUnavailableError(SandboxError):
    """No isolation works on this machine, so nothing is run."""
