"""What judging says, and how it fails."""

import math
from typing import NamedTuple, Self


class Verdict(NamedTuple):
    """Passed, failed for a reason, or nothing said since the environment is faulty.

    Whoever asks for verdicts looks at `is_faulty` first: a faulty one was tried several times, is
    to be counted, and is neither a reward nor a wrong answer. Its reward is no number, so that a
    sum that takes it in by mistake is none either.
    """

    reward: float
    """Share of what was asked that holds, 0 to 1; NaN of a faulty environment."""
    reason: str = ""
    """Empty if the reward is 1; else the first thing that went wrong."""

    @property
    def is_faulty(self) -> bool:
        """Whether the environment failed, again and again; what was judged has no part in it."""
        return math.isnan(self.reward)

    @classmethod
    def faulty(cls, reason: object) -> Self:
        """The verdict of an environment that failed for this reason."""
        return cls(math.nan, f"faulty environment: {reason}"[:300])


class IoCase(NamedTuple):
    """One run of a program that talks over standard input and output."""

    stdin: str
    stdout: str
    """Expected output; `k2core.sandbox.outputs` says what equals it."""


class SandboxError(RuntimeError):
    """The sandbox itself failed; says nothing about the program: a verdict is then `faulty`."""


class SandboxUnavailableError(SandboxError):
    """No isolation works on this machine, so nothing is run."""
