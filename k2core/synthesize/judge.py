"""The judge: the problem's checker decides, then says whose fault a failure was.

Accepting or rejecting by the outcome alone would blame agents for broken simulators; a reason names
the side at fault by evidence (`k2core.synthesize.attribution`).
"""

import json
import math
from typing import NamedTuple

from k2core.agents import Dialogue
from k2core.agents.endpoint import EndpointError
from k2core.rewards import Outcome, try_to_judge
from k2core.sandbox import CodeRunner, Verdict
from k2core.synthesize.attribution import Fault, find_fault
from k2core.synthesize.model_judge import ModelJudge

JUDGE = "checker/3"
"""Name and version."""


class Judgement(NamedTuple):
    """The checker's reward, and why a dialogue was rejected."""

    reward: float
    """NaN where environment or judge failed, so that nothing could be judged."""
    reason: str
    """Empty if accepted; else `agent: ...`, `environment: ...`, `user: ...` or `judge: ...`."""

    @property
    def fault(self) -> str:
        """The side at fault; empty if accepted."""
        return self.reason.partition(": ")[0]

    @property
    def is_faulty(self) -> bool:
        """Whether nothing could be judged: tried again, counted, and no part of a pass rate."""
        return math.isnan(self.reward)


class Judge:
    """Judges dialogues; equal answers to equal tests are run once.

    Args:
        sandbox: runs tests of code.
        second: judges by the rubric what the programs accept; only one whose calibration suffices.
    """

    def __init__(self, sandbox: CodeRunner, second: ModelJudge | None = None) -> None:
        self.sandbox = sandbox
        """Where what it judges runs, too."""
        self._second = second
        self._verdicts: dict[str, Verdict] = {}

    def judge(self, dialogue: Dialogue) -> Judgement:
        """Reward and reason of one dialogue."""
        if dialogue.is_faulty:
            return Judgement(math.nan, f"environment: {dialogue.fault}")
        verdict = self._verify(dialogue)
        if verdict.is_faulty:
            return Judgement(math.nan, f"judge: {verdict.reason}")
        if verdict.reward < 1.0:
            return Judgement(verdict.reward, str(find_fault(dialogue, verdict)))
        try:
            fails = self._second is not None and self._second.passes(dialogue) is False
        except EndpointError as error:
            return Judgement(math.nan, f"judge: {error}")
        return Judgement(1.0, "agent: fails the rubric" if fails else "")

    def audit(self, dialogue: Dialogue, claimed: Judgement) -> Fault | None:
        """Whose fault a dialogue's failure was, the claiming judge's included; None if none is.

        A judgement that the program contradicts is the fault of who made it.
        """
        found = self.judge(dialogue)
        if bool(found.reason) == bool(claimed.reason):
            failed = found.reason and not found.is_faulty
            return find_fault(dialogue, self._verify(dialogue)) if failed else None
        return Fault("judge", "rejected a success" if claimed.reason else "accepted a failure")

    def _verify(self, dialogue: Dialogue) -> Verdict:
        problem, answer = dialogue.problem, Outcome(dialogue.messages).answer
        if problem.verifier != "python_function" or dialogue.over_budget:
            return try_to_judge(dialogue)
        key = json.dumps([problem.expected, answer])
        if key not in self._verdicts:
            verdict = try_to_judge(dialogue, self.sandbox)
            if verdict.is_faulty:
                return verdict
            self._verdicts[key] = verdict
        return self._verdicts[key]
