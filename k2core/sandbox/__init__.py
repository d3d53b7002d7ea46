"""A sandbox for model-written code: fail-closed isolation and verdicts that cannot be forged."""

from k2core.sandbox.sandbox import RunResult, Sandbox
from k2core.sandbox.verdict import IoCase, SandboxError, SandboxUnavailableError, Verdict
from k2core.sandbox.zygote import JobEnd, Limits

__all__ = [
    "IoCase",
    "JobEnd",
    "Limits",
    "RunResult",
    "Sandbox",
    "SandboxError",
    "SandboxUnavailableError",
    "Verdict",
]
