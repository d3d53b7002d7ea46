"""The judge: the problem's checker decides, then says whose fault a failure was.

Accepting or rejecting by the outcome alone would blame agents for broken simulators; a reason names
the side at fault by evidence (`k2core.synthesize.attribution`).
"""

import json
from typing import NamedTuple

from k2core.agents import Dialogue
from k2core.rewards import Outcome, judge_dialogue, verify
from k2core.sandbox import CodeRunner, Verdict
from k2core.synthesize.attribution import Fault, find_fault
from k2core.synthesize.model_judge import ModelJudge

JUDGE = "checker/2"
"""Name and version."""


class Judgement(NamedTuple):
    """The checker's reward, and why a dialogue was rejected."""

    reward: float
    reason: str
    """Empty if accepted; else `agent: ...`, `environment: ...` or `user: ...`."""

    @property
    def fault(self) -> str:
        """The side at fault; empty if accepted."""
        return self.reason.partition(": ")[0]


class Judge:
    """Judges dialogues; equal answers to equal tests are run once.

    Args:
        sandbox: runs tests of code.
        second: judges by the rubric what the programs accept; only one whose calibration suffices.
    """

    def __init__(self, sandbox: CodeRunner, second: ModelJudge | None = None) -> None:
        self._sandbox = sandbox
        self._second = second
        self._verdicts: dict[str, Verdict] = {}

    def judge(self, dialogue: Dialogue) -> Judgement:
        """Reward and reason of one dialogue."""
        verdict = self._verify(dialogue)
        if verdict.reward == 1.0:
            fails = self._second is not None and self._second.passes(dialogue) is False
            return Judgement(1.0, "agent: fails the rubric" if fails else "")
        return Judgement(verdict.reward, str(find_fault(dialogue, verdict)))

    def audit(self, dialogue: Dialogue, claimed: Judgement) -> Fault | None:
        """Whose fault a dialogue's failure was, the claiming judge's included; None if none is.

        A judgement that the program contradicts is the fault of who made it.
        """
        found = self.judge(dialogue)
        if bool(found.reason) == bool(claimed.reason):
            return find_fault(dialogue, self._verify(dialogue)) if found.reason else None
        return Fault("judge", "rejected a success" if claimed.reason else "accepted a failure")

    def _verify(self, dialogue: Dialogue) -> Verdict:
        problem = dialogue.problem
        if problem.verifier != "python_function":
            return judge_dialogue(dialogue)
        outcome = Outcome(dialogue.messages, dialogue.state, dialogue.over_budget)
        key = json.dumps([problem.expected, outcome.answer])
        if key not in self._verdicts:
            self._verdicts[key] = verify(problem, outcome, self._sandbox)
        return self._verdicts[key]
