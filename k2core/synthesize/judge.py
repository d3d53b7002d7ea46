"""The judge: the problem's checker decides, then says whose fault a failure was.

Accepting or rejecting by the outcome alone would blame agents for broken simulators; a reason names
the side at fault by what the dialogue itself shows.
"""

import json
from typing import NamedTuple

from k2core.agents import Dialogue
from k2core.environments import result_text
from k2core.rewards import Outcome, verify
from k2core.sandbox import Sandbox, Verdict

JUDGE = "checker/1"
"""Name and version."""
BUSY = result_text({"error": "busy"})


class Judgement(NamedTuple):
    """The checker's reward, and why a dialogue was rejected."""

    reward: float
    reason: str
    """Empty if accepted; else `agent: ...`, `environment: ...` or `user: ...`."""


class Judge:
    """Judges dialogues; equal answers to equal tests are run once."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._verdicts: dict[str, Verdict] = {}

    def judge(self, dialogue: Dialogue) -> Judgement:
        """Reward and reason of one dialogue."""
        verdict = self._verify(dialogue)
        if verdict.reward == 1.0:
            return Judgement(1.0, "")
        return Judgement(verdict.reward, find_fault(dialogue, verdict))

    def _verify(self, dialogue: Dialogue) -> Verdict:
        outcome = Outcome(dialogue.messages, dialogue.state, dialogue.over_budget)
        problem = dialogue.problem
        if problem.verifier != "python_function":
            return verify(problem, outcome)
        key = json.dumps([problem.expected, outcome.answer])
        if key not in self._verdicts:
            self._verdicts[key] = verify(problem, outcome, self._sandbox)
        return self._verdicts[key]


def find_fault(dialogue: Dialogue, verdict: Verdict) -> str:
    """Whose fault a failed dialogue was, by its last words."""
    results = [m for m in dialogue.messages if m.role == "tool"]
    last = dialogue.messages[-1]
    if dialogue.over_budget and results and results[-1].content == BUSY:
        return "environment: busy to the end"
    if last.role == "assistant" and last.content.endswith("?"):
        return "user: never told the goal"
    if results and (results[-1].name or "").startswith("old_"):
        return "agent: trusted an old copy"
    if verdict.reason == "wrong_state" and not results:
        return "agent: claimed what it did not do"
    return f"agent: {verdict.reason}"
