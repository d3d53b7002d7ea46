"""A sandbox for model-written code: fail-closed isolation and verdicts that cannot be forged."""

from k2core.sandbox.check import check_idle, check_problem, check_program
from k2core.sandbox.jobs import RunResult
from k2core.sandbox.own import OwnCodeError, read_own, run_own
from k2core.sandbox.protocol import CodeRunner
from k2core.sandbox.sandbox import Sandbox
from k2core.sandbox.verdict import IoCase, SandboxError, SandboxUnavailableError, Verdict
from k2core.sandbox.zygote import JobEnd, Limits

__all__ = [
    "CodeRunner",
    "IoCase",
    "JobEnd",
    "Limits",
    "OwnCodeError",
    "RunResult",
    "Sandbox",
    "SandboxError",
    "SandboxUnavailableError",
    "Verdict",
    "check_idle",
    "check_problem",
    "check_program",
    "read_own",
    "run_own",
]
